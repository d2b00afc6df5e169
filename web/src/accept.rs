//! Which of several forms of an answer a client would rather have, by its `Accept` header (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

#[cfg(test)]
mod tests;

/// The index of the media type of `offers` that the client likes best; the first of those it likes equally, and the
/// first of all where it says nothing or wants none of them.
pub(crate) fn preferred(headers: &HeaderMap, offers: &[&str]) -> usize {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range<'_>> = values.flat_map(|value| value.split(',')).map(Range::read).collect();
    let quality = |offer: &str| {
        let most_specific =
            ranges.iter().filter_map(|range| Some((range.specificity(offer)?, range.thousandths))).max();
        most_specific.map_or(0, |(_, thousandths)| thousandths)
    };
    let by_quality = offers.iter().enumerate().rev().max_by_key(|(_, offer)| quality(offer));
    by_quality.map_or(0, |(index, _)| index)
}

/// One of the header's elements, such as `text/*;q=0.5`.
struct Range<'a> {
    media: &'a str,
    /// The quality, from 0 to 1000.
    thousandths: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let quality = parts.find_map(|parameter| parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")));
        let quality: f32 = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
        // The cast stops at 0 and at the largest number; beyond 1 nobody is preferred.
        Self { media, thousandths: ((quality * 1000.0) as u16).min(1000) }
    }

    /// How closely this names the media type, if at all.
    fn specificity(&self, offer: &str) -> Option<u8> {
        if self.media.eq_ignore_ascii_case(offer) {
            return Some(2);
        }
        let group = self.media.strip_suffix("/*")?;
        match offer.split_once('/') {
            Some((kind, _)) if kind.eq_ignore_ascii_case(group) => Some(1),
            _ if group == "*" => Some(0),
            _ => None,
        }
    }
}
