//! Bars on a terminal. Elsewhere they are silent.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr for work of `total` bytes, with rate and time left.
pub(crate) fn bar(verb: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template = "{prefix} {wide_bar} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta}";
    let style = ProgressStyle::with_template(template).expect("the template above is well-formed");
    bar.with_style(style).with_prefix(verb)
}
