//! Sizes, rates, times and dates as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes from text such as `512`, `16KiB`, `1.5M` or `2GB`. `K`, `M`, `G`, `T` count in 1024 with or without `iB`, and in
/// 1000 with `B`.
///
/// # Errors
/// One line when the text is no size or beyond 2⁶³ bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size such as 512, 16KiB or 1.5M");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = factor(unit.trim()).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') || fraction.len() > FRACTION_MAX {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let scale = FRACTION_MAX.min(fraction.len()).try_into().map(|n| 10u64.pow(n)).map_err(|_| wrong())?;
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| wrong())? };
    let bytes =
        u128::from(whole) * u128::from(factor) + u128::from(part) * u128::from(factor) / u128::from(scale);
    u64::try_from(bytes).ok().filter(|b| *b <= SIZE_MAX).ok_or_else(wrong)
}

/// Bytes a second from text such as `500K` or `2MiB/s`; `None` from `0`, which means no limit.
///
/// # Errors
/// One line when the text is no rate.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let bytes = size(text.strip_suffix("/s").unwrap_or(text))
        .map_err(|_| format!("'{text}' is not a rate in bytes a second, such as 500K or 2MiB"))?;
    Ok(Rate(Some(bytes).filter(|b| *b > 0)))
}

/// A limit on bytes a second; `None`: as many as go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate(pub(crate) Option<u64>);

/// A time from text such as `90`, `90s`, `30m`, `2h` or `1d`; a bare number is seconds.
///
/// # Errors
/// One line when the text is no time or longer than 100 years.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time such as 90s, 30m, 2h or 1d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let total = number.checked_mul(seconds).filter(|s| *s <= TIME_MAX_S).ok_or_else(wrong)?;
    Ok(Duration::from_secs(total))
}

/// A pause, as [`time`] but of a second at least.
///
/// # Errors
/// One line when the text is no such time.
pub(crate) fn pause(text: &str) -> Result<Duration, String> {
    let long_enough = |t: &Duration| *t >= Duration::from_secs(1);
    Some(time(text)?).filter(long_enough).ok_or_else(|| "a second is the shortest time".to_owned())
}

/// The piece length to create with: a power of two of at least 16 KiB.
///
/// # Errors
/// One line when the text is no size, or no piece length.
pub(crate) fn piece_length(text: &str) -> Result<u32, String> {
    let bytes = size(text)?;
    let fits = |n: &u32| n.is_power_of_two() && (PIECE_LEN_MIN..=PIECE_LEN_MAX).contains(n);
    u32::try_from(bytes).ok().filter(fits).ok_or_else(|| {
        format!("{bytes} bytes are no piece length: it is a power of two from 16KiB to 256MiB")
    })
}

/// A moment as `2024-02-29 12:34:56 UTC`.
pub(crate) fn date(unix_seconds: i64) -> String {
    let (days, second) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    // days since 0000-03-01, in eras of 400 years
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

/// The time since 1970 in seconds, in steps of a millisecond.
pub(crate) fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or_default()).as_secs_f64()
}

/// The time of the day as `12:34:56.789`, in UTC.
pub(crate) fn clock() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since.as_secs() % 86_400;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", since.subsec_millis())
}

/// How long something took: `31 ms`, `2.5 s`.
pub(crate) fn took(time: Duration) -> String {
    match time.as_millis() {
        ms @ ..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// So many of something: `1 file`, `2 files`.
pub(crate) fn count(n: impl TryInto<u64>, what: &str) -> String {
    match n.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// A number of bytes for people: `64.00 MiB`.
pub(crate) fn bytes(n: u64) -> impl std::fmt::Display {
    indicatif::HumanBytes(n)
}

/// `n / d`, near enough for people and ratios.
pub(crate) fn quotient(n: u64, d: u64) -> f64 {
    // in steps of a millionth, which any float holds
    let millionths = u128::from(n) * 1_000_000 / u128::from(d.max(1));
    u32::try_from(millionths).map_or(f64::from(u32::MAX) / 1e6, |m| f64::from(m) / 1e6)
}

fn factor(unit: &str) -> Option<u64> {
    let mut rest = unit.chars();
    let power = match rest.next().map(|c| c.to_ascii_uppercase()) {
        None => return Some(1),
        Some('B') => return rest.next().is_none().then_some(1),
        Some('K') => 1,
        Some('M') => 2,
        Some('G') => 3,
        Some('T') => 4,
        Some(_) => return None,
    };
    match rest.as_str() {
        "" | "iB" | "i" => Some(1024u64.pow(power)),
        "B" => Some(1000u64.pow(power)),
        _ => None,
    }
}

/// Digits behind the point.
const FRACTION_MAX: usize = 6;
const SIZE_MAX: u64 = 1 << 63;
const TIME_MAX_S: u64 = 100 * 366 * 86_400;
const PIECE_LEN_MIN: u32 = 16 << 10;
/// The largest power of two within `unchoke_wire::limits::PIECE_LEN_MAX`.
const PIECE_LEN_MAX: u32 = 256 << 20;

/// A number of things of which there must be one at least.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a number of 1 or more".to_owned()),
        Ok(n) => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_one_at_least() {
        assert_eq!(at_least_one("500"), Ok(500));
        assert!(at_least_one("0").is_err() && at_least_one("-3").is_err() && at_least_one("many").is_err());
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("16KiB", 16_384),
            ("16k", 16_384),
            ("16 K", 16_384),
            ("1M", 1 << 20),
            ("1.5M", 3 << 19),
            ("2GB", 2_000_000_000),
            ("7B", 7),
            ("1T", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", ".5M", "1.", "1..2", "-1", "1X", "1KiBs", "1e3", "99999999999T", "1.0000001M"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_may_say_per_second_and_zero_is_no_limit() {
        assert_eq!(rate("500K/s"), Ok(Rate(Some(512_000))));
        assert_eq!(rate("2MiB"), Ok(Rate(Some(2 << 20))));
        assert_eq!(rate("0"), Ok(Rate(None)));
        assert!(rate("fast").is_err());
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "1.5h", "-1", "1w", "999999999999d"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn piece_lengths_are_powers_of_two_that_torrents_may_have() {
        assert_eq!(piece_length("16KiB"), Ok(16_384));
        assert_eq!(piece_length("256M"), Ok(PIECE_LEN_MAX));
        assert!(Some(PIECE_LEN_MAX) <= Some(unchoke_wire::limits::PIECE_LEN_MAX));
        for text in ["0", "1", "8KiB", "48KiB", "512M", "1MB", "8G"] {
            assert!(piece_length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn short_times_are_told_in_milliseconds() {
        assert_eq!(took(Duration::from_micros(31_900)), "31 ms");
        assert_eq!(took(Duration::from_millis(2540)), "2.5 s");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
