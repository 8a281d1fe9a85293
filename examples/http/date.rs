//! The `Date` field's text, made anew at most once a second.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

/// `Sun, 06 Nov 1994 08:49:37 GMT`, and the second since 1970 that it tells.
#[derive(Debug)]
pub(crate) struct Date {
    second: u64,
    text: [u8; 29],
}

impl Date {
    pub(crate) fn now() -> Self {
        Self::at(seconds())
    }

    /// Looks at the clock; writes the text again only if it tells another second.
    pub(crate) fn refresh(&mut self) {
        let second = seconds();
        if second != self.second {
            *self = Self::at(second);
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    fn at(second: u64) -> Self {
        let (mut days, time) = (second / 86_400, second % 86_400);
        let weekday = DAYS[usize::try_from(days % 7).expect("below 7")];
        // Once a second, some sixty steps: not worth a formula.
        let mut year = 1970;
        while days >= 365 + leap_day(year) {
            days -= 365 + leap_day(year);
            year += 1;
        }
        let mut month = "Jan";
        for (name, length) in MONTHS {
            month = name;
            let length = length + if name == "Feb" { leap_day(year) } else { 0 };
            if days < length {
                break;
            }
            days -= length;
        }
        let (day, hour, minute, rest) = (days + 1, time / 3600, time / 60 % 60, time % 60);
        let mut text = [b' '; 29];
        write!(
            &mut text[..],
            "{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{rest:02} GMT"
        )
        .expect("29 bytes until the year 10,000");
        Self { second, text }
    }
}

/// Seconds since 1970; a clock set before that counts as 1970.
fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |it| it.as_secs())
}

/// How many days the year has above 365.
fn leap_day(year: u64) -> u64 {
    u64::from(year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::Date;

    fn text(second: u64) -> String {
        String::from_utf8(Date::at(second).text().to_vec()).expect("ASCII")
    }

    #[test]
    fn known_moments_have_their_names() {
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(951_868_800), "Wed, 01 Mar 2000 00:00:00 GMT");
        assert_eq!(text(1_735_689_599), "Tue, 31 Dec 2024 23:59:59 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
    }
}
