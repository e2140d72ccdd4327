//! A number that was measured several times: its median, and how far it spreads.

/// In ascending order.
pub struct Spread(Vec<f64>);

impl Spread {
    /// Between the two in the middle, if there are two. Zero where nothing was measured.
    pub fn median(&self) -> f64 {
        let count = self.0.len();
        if count == 0 { 0.0 } else { f64::midpoint(self.0[(count - 1) / 2], self.0[count / 2]) }
    }

    /// The median, and the lowest and the highest where there is more than one.
    pub fn tell(&self, digits: usize, unit: &str) -> String {
        let median = self.median();
        match self.0.as_slice() {
            [lowest, .., highest] => {
                format!("**{median:.digits$}**{unit} ({lowest:.digits$} to {highest:.digits$})")
            }
            _ => format!("**{median:.digits$}**{unit}"),
        }
    }
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(all: I) -> Self {
        let mut all: Vec<f64> = all.into_iter().collect();
        all.sort_by(f64::total_cmp);
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_told_by_its_middle_and_its_ends() {
        let several: Spread = [3.0, 1.0, 2.26].into_iter().collect();
        assert_eq!(several.tell(1, " µs"), "**2.3** µs (1.0 to 3.0)");
        let even: Spread = [4.0, 1.0, 3.0, 2.0].into_iter().collect();
        assert_eq!(even.tell(1, ""), "**2.5** (1.0 to 4.0)");
        let one: Spread = [1.5].into_iter().collect();
        assert_eq!((one.tell(2, ""), one.median()), ("**1.50**".into(), 1.5));
    }
}
