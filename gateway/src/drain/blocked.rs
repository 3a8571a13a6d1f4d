//! Addresses that the control plane has found to hold handshakes open on several nodes: refused at the door for a while.
//!
//! Place in the data path: asked when a client's address is known. Mostly the list is empty, which costs one load.

use std::net::IpAddr;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use ipnet::IpNet;
use tidegate_protocol::drain::{BLOCKED_MAX, Blocklist};

use super::machine::Refusal;

/// The list that holds.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    has_any: AtomicBool,
    list: RwLock<List>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct List {
    epoch: u64,
    seq: u64,
    until: Option<Instant>,
    networks: Vec<IpNet>,
}

impl Blocked {
    /// Replaces the list.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: an older list than the last, too long a one, or an address that is none.
    pub(crate) fn replace(&self, list: &Blocklist, now: Instant) -> Result<(), Refusal> {
        if list.addresses.len() > BLOCKED_MAX {
            let count = list.addresses.len();
            return Err(Refusal::Senseless(format!(
                "{count} addresses: at most {BLOCKED_MAX} can be blocked"
            )));
        }
        let networks = list.addresses.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        let mut held = self.list.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if (list.epoch, list.seq) < (held.epoch, held.seq) {
            return Err(Refusal::StaleEpoch { epoch: held.epoch, seq: held.seq });
        }
        self.has_any.store(!networks.is_empty(), Ordering::Release);
        *held = List { epoch: list.epoch, seq: list.seq, until: Some(now + list.ttl), networks };
        Ok(())
    }

    /// Whether a client of this address is refused.
    pub(crate) fn refuses(&self, address: IpAddr, now: Instant) -> bool {
        if !self.has_any.load(Ordering::Acquire) {
            return false;
        }
        let held = self.list.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.until.is_none_or(|until| now >= until) {
            self.has_any.store(false, Ordering::Release);
            return false;
        }
        let address = address.to_canonical();
        let is_blocked = held.networks.iter().any(|network| network.contains(&address));
        if is_blocked {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_blocked
    }

    /// How many addresses and networks are refused now.
    pub(crate) fn len(&self, now: Instant) -> usize {
        let held = self.list.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.until.is_some_and(|until| now < until) { held.networks.len() } else { 0 }
    }

    /// Clients refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

fn parse(text: &str) -> Result<IpNet, Refusal> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(|one| IpNet::from(one.to_canonical())));
    network
        .map_err(|_| Refusal::Senseless(format!("{text:?} is no address and no network such as 10.0.0.0/8")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn list(epoch: u64, seq: u64, addresses: &[&str]) -> Blocklist {
        Blocklist { epoch, seq, ttl: TTL, addresses: addresses.iter().map(|&text| text.into()).collect() }
    }

    #[test]
    fn addresses_and_networks_are_refused_until_the_list_ends() {
        let (blocked, now) = (Blocked::default(), Instant::now());
        let refuses = |address: &str, now| blocked.refuses(address.parse().unwrap(), now);
        assert!(!refuses("10.0.0.7", now));

        blocked.replace(&list(1, 1, &["10.0.0.7", "2001:db8::/64"]), now).unwrap();

        assert!(refuses("10.0.0.7", now) && refuses("2001:db8::9", now) && refuses("::ffff:10.0.0.7", now));
        assert!(!refuses("10.0.0.8", now) && !refuses("2001:db8:1::9", now));
        assert_eq!((blocked.len(now), blocked.refused()), (2, 3));
        assert!(!refuses("10.0.0.7", now + TTL));
        assert_eq!(blocked.len(now + TTL), 0);
    }

    #[test]
    fn an_older_list_changes_nothing() {
        let (blocked, now) = (Blocked::default(), Instant::now());
        blocked.replace(&list(2, 5, &["10.0.0.7"]), now).unwrap();

        for (epoch, seq) in [(1, 9), (2, 4)] {
            let refused = blocked.replace(&list(epoch, seq, &[]), now);
            assert_eq!(refused, Err(Refusal::StaleEpoch { epoch: 2, seq: 5 }));
        }
        assert_eq!(blocked.len(now), 1);
        blocked.replace(&list(3, 0, &[]), now).unwrap();
        assert_eq!(blocked.len(now), 0);
    }

    #[test]
    fn as_many_as_the_bound_can_be_blocked_and_one_more_is_refused() {
        let (blocked, now) = (Blocked::default(), Instant::now());
        blocked.replace(&list(1, 1, &vec!["10.0.0.7"; BLOCKED_MAX]), now).unwrap();

        let refused = blocked.replace(&list(1, 2, &vec!["10.0.0.7"; BLOCKED_MAX + 1]), now);

        assert!(matches!(refused, Err(Refusal::Senseless(_))));
        assert!(matches!(blocked.replace(&list(1, 2, &["tea"]), now), Err(Refusal::Senseless(_))));
        assert_eq!(blocked.len(now), BLOCKED_MAX);
    }
}
