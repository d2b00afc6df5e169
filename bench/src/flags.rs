//! Values of flags that more than one room reads.

use std::time::Duration;

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const SECONDS_MAX: f64 = 1e6;
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(format!("not between 0 and {SECONDS_MAX} seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

pub(crate) fn positive_seconds(text: &str) -> Result<Duration, String> {
    let duration = seconds(text)?;
    if duration < Duration::from_millis(1) {
        return Err("less than a millisecond".to_owned());
    }
    Ok(duration)
}
