//! `tidegate-control-plane`: the coordinator of a cluster of gateways.

fn main() {}
