//! How far it is: a bar where somebody looks, and a line in the log for each tenth where nobody does.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// What is written so far, told on standard error.
pub enum Progress {
    Bar(ProgressBar),
    Lines { of: u64, told: u64 },
}

impl Progress {
    /// Of so many orders.
    pub fn of(orders: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { of: orders, told: 0 };
        }
        let bar = ProgressBar::new(orders);
        let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} orders, {eta} left");
        Self::Bar(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)))
    }

    /// So many are written by now.
    pub fn at(&mut self, orders: u64) {
        match self {
            Self::Bar(bar) => bar.set_position(orders),
            Self::Lines { of, told } => {
                let tenths = orders.saturating_mul(10).checked_div(*of).unwrap_or(10);
                if tenths > *told {
                    *told = tenths;
                    tracing::info!("{}0 % of {of} orders are written", tenths);
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
