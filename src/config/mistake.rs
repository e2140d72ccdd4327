//! What is wrong with the settings, gathered while they are read, so that all of it can be told together.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use reqwest::Url;

/// What is wrong with the settings, each line with the setting's name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings can't be used:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// What a list with commas names.
pub(super) fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

impl Mistakes {
    /// The value, unless there is a mistake.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    pub(super) fn add(&mut self, setting: &str, what: impl fmt::Display) {
        self.0.push(format!("{setting}: {what}"));
    }

    pub(super) fn take<T, E: fmt::Display>(&mut self, setting: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(setting, error)).ok()
    }

    /// The value, or what it must be instead of a library's words for what it is not.
    pub(super) fn parse<T: FromStr>(&mut self, setting: &str, value: &str, must_be: &str) -> Option<T> {
        self.take(setting, value.parse().map_err(|_| format!("must be {must_be}")))
    }

    pub(super) fn each<T>(&mut self, setting: &str, list: Option<&str>) -> Vec<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        names(list.unwrap_or_default())
            .filter_map(|name| self.take(&format!("{setting}, {name:?}"), name.parse()))
            .collect()
    }

    pub(super) fn switch(&mut self, setting: &str, value: Option<&str>, default: bool) -> bool {
        match value {
            None => default,
            Some("on" | "true") => true,
            Some("off" | "false") => false,
            Some(other) => {
                self.add(setting, format!("{other:?} is neither on nor off"));
                default
            }
        }
    }

    pub(super) fn url(&mut self, setting: &str, value: Option<&str>) -> Option<Url> {
        let url: Url = self.parse(setting, value?, "a URL such as https://pay.example")?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            self.add(setting, "must begin with http:// or https://");
            return None;
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.add(setting, "must not hold a user name or a password");
            return None;
        }
        Some(url)
    }

    pub(super) fn number<T>(&mut self, setting: &str, value: &str, range: &RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Copy + fmt::Display,
    {
        let (least, most) = (*range.start(), *range.end());
        let number = value.parse().ok().filter(|number| range.contains(number));
        number.unwrap_or_else(|| {
            self.add(setting, format!("must be {least} to {most}, a whole number"));
            least
        })
    }

    pub(super) fn duration(&mut self, setting: &str, value: &str, range: &RangeInclusive<Duration>) -> Duration {
        let (least, most) = (*range.start(), *range.end());
        let duration = humantime::parse_duration(value).ok().filter(|duration| range.contains(duration));
        duration.unwrap_or_else(|| {
            let [from, to] = [least, most].map(humantime::format_duration);
            self.add(setting, format!("must be {from} to {to}, a number and its unit"));
            least
        })
    }
}
