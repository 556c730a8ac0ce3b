//! The real outside, one file a service. Only here is the environment read, the time asked, the network used.
