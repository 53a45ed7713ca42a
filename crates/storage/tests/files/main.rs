//! Storage through its public interface, on real files.

mod changes;
mod corpus;
mod hostile;
mod layout;
mod lifecycle;
mod model;
mod selection;
mod support;
