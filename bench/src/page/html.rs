//! Text in HTML.

use std::fmt::{self, Display, Formatter, Write as _};

/// Text that cannot become markup, whatever a server or a file put into it.
#[derive(Debug)]
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number with as many digits as one can use.
pub(super) fn number(value: f64) -> String {
    if value >= 100.0 || (value - value.round()).abs() < 1e-9 {
        return indicatif::HumanCount(value.round().max(0.0) as u64).to_string();
    }
    let digits = if value >= 10.0 { 1 } else { 2 };
    let text = format!("{value:.digits$}");
    if value < 0.01 && value > 0.0 { format!("{value:.4}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(Escaped("<b a='1'>&\"").to_string(), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn numbers_have_the_digits_that_one_can_use() {
        for (value, text) in
            [(0.0, "0"), (0.5, "0.50"), (12.34, "12.3"), (1_234.5, "1,235"), (3.0, "3"), (0.0012, "0.0012")]
        {
            assert_eq!(number(value), text);
        }
    }
}
