//! What `--help` ends with: all that the flags themselves do not say.

/// Ends `-h`, too.
pub(super) const NODE_CODES: &str = "\
Exit codes:
  0    stopped as asked (SIGTERM, SIGINT), or the files are made
  1    stopped by a failure: disk, damaged log, address in use
  254  bad arguments or a bad cluster file";

pub(super) const NODE: &str = "\
Examples:
  node init --nodes 3 --dir c
  node --id 1 --cluster c/cluster.json --data c/node-1

Cluster file:
  {
    \"cluster\": \"orders\",
    \"secret_file\": \"cluster.secret\",
    \"nodes\": [
      {\"id\": 1, \"address\": \"10.0.0.1:7001\"},
      {\"id\": 2, \"address\": \"10.0.0.2:7001\"},
      {\"id\": 3, \"address\": \"10.0.0.3:7001\"}
    ]
  }

Several machines:
  Every node and every client has a copy of the cluster file and of the
  secret. Addresses are those at which the nodes are reached from where the
  copy is. Name, ids, \"partitions\" and \"replication\" must be the same in
  all copies: a node does not talk to those who think otherwise.

More fields, with their defaults:
  \"partitions\": 1      replication groups that share the keys
  \"replication\": 3     replicas of each group; without partitions, all nodes
  \"timing\": {\"heartbeat_ms\": 25, \"retransmit_ms\": 8, \"election_ticks\": 4}
                       a leader is missed after so many heartbeats
  \"limits\": {\"datagram_bytes\": 1200, \"key_bytes\": 1024, \"value_bytes\": 65536,
             \"snapshot_every\": 100000, \"keep\": 10000}
                       the last two in entries of the log

Files in DIR:
  identity             whose folder it is; a node whose folder is lost is a
                       new node, and must not go on under the old id
  wal-*.log            the log
  snapshot-*.img       the map, up to some entry of the log
  lock                 held by the node that runs
  A damaged log is never repaired by guess: the node refuses to start, and
  says which file, and where. Only a torn end, as a crash leaves it, is cut.

";

pub(super) const INIT: &str = "\
Examples:
  node init --nodes 3 --dir c
  node init --nodes 6 --partitions 4 --base-port 7001 --name orders --dir c

Exit codes:
  0    the files are made
  254  bad arguments, or a file could not be made";

/// Ends `-h`, too.
pub(super) const KV_CODES: &str = "\
Exit codes:
  0    ok
  1    a definite no: the key is missing, or cas found another value
  2    nobody knows: no answer in time. A write may still take effect
  254  bad arguments or a bad cluster file";

pub(super) const KV: &str = "\
Examples:
  kv put greeting hello
  kv get greeting
  kv cas greeting hello goodbye
  kv cas --absent lock mine
  kv --cluster /etc/quorate/cluster.json --json status
  kv put -- k --json          a value that looks like a flag comes after --

Outcomes:
  kv asks any node, is sent on to the one that leads, and asks again until it
  has an answer or --timeout-ms is over: of three nodes, one may be gone. A
  write that was sent more than once takes effect once. The value of get is
  printed as it is, and a line feed; what is no answer goes to standard error.

";

pub(super) const CAS: &str = "\
Examples:
  kv cas k old new            set k to new, if it is old
  kv cas --absent k new       set k to new, if it is missing

Exit codes:
  0    it was so, and now it is NEW
  1    it was not so: what it is instead is told
  2    nobody knows: no answer in time. It may still take effect
  254  bad arguments or a bad cluster file";

pub(super) const STATUS: &str = "\
What the columns say:
  leads    groups it leads, of those it is a member of
  dropped  what was received in vain; \"unverified\" is how every client begins
  behind   who has run the fewest of the entries that are decided, as far as
           nodes answered

Exit codes:
  0    every node that was asked has answered
  2    at least one has not: within --timeout-ms, and a second if all are asked
  254  bad arguments, a bad cluster file, or no such node";
