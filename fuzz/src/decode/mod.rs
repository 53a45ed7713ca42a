//! Bytes to values: every cap is kept, and what was understood survives being written and read again.

pub mod build;
pub mod files;
pub mod peers;
pub mod services;
pub mod text;

use unchoke_wire::limits;

/// Whether a name can be shown: not empty, without control characters.
pub fn is_shown(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

/// Whether a path element stays in its directory and can be a name there.
pub fn is_safe(element: &str) -> bool {
    !matches!(element, "" | "." | "..")
        && element.len() <= limits::NAME_LEN_MAX
        && !element.contains(['/', '\\', ':'])
        && !element.chars().any(char::is_control)
}
