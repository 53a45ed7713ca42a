//! The notes' exchanges.
mod common;
use common::play;
#[test]
fn golden() {
    play("golden-a", 2);
    play("golden-a-plain", 2);
    play("golden-b", 2);
}
