//! What happened, for ever: numbered events, each with its digest and the digest before it. It knows runs and
//! leases, not plans; a state is folded from it elsewhere.

pub mod event;

pub use event::{Entry, Event};
