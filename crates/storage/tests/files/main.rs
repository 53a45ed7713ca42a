//! Storage through its public interface, on real files.

mod bad_names;
mod changes;
mod hostile;
mod layout;
mod lifecycle;
mod model;
mod selection;
mod support;
