//! A Redis cluster without replicas.

use crate::until;

use super::RedisServer;

/// Three masters that share the slots evenly.
pub struct RedisCluster {
    masters: [RedisServer; 3],
}

impl RedisCluster {
    /// Starts them, and waits until each knows all slots.
    ///
    /// # Panics
    ///
    /// If one of them ends instead; with all that it printed.
    #[track_caller]
    pub fn three_masters() -> Self {
        let start =
            |_| RedisServer::builder().set("cluster-enabled yes").set("cluster-node-timeout 5000").start();
        let masters: [RedisServer; 3] = std::array::from_fn(start);
        let first_slots = [0, 5461, 10_923, SLOTS];
        for (at, master) in masters.iter().enumerate() {
            let [first, last] = [first_slots[at], first_slots[at + 1] - 1].map(|slot| slot.to_string());
            master.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            master.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        for other in &masters[1..] {
            masters[0].command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]);
        }
        for master in &masters {
            until("a master to know the whole cluster", || {
                let known = master.command(&["CLUSTER", "INFO"]).join("\n");
                let is_whole = known.contains("cluster_state:ok")
                    && known.contains("cluster_known_nodes:3")
                    && known.contains("cluster_slots_assigned:16384");
                is_whole.then_some(())
            });
        }
        Self { masters }
    }

    /// What a store is configured with to use it.
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.masters.iter().map(|master| format!("127.0.0.1:{}", master.port())).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// Each of them.
    pub fn masters(&self) -> &[RedisServer] {
        &self.masters
    }
}

const SLOTS: u32 = 16_384;
