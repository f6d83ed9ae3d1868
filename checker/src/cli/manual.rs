//! What `--help` ends with: all that the flags themselves do not say.

pub(super) const CHECKER: &str = "\
Examples:
  checker run                                     half a minute of faults
  checker run --nodes 5 --nemesis all --partitions 4 --time-limit 300
  checker run --replay store/latest               the same again
  checker verify store/latest/history.jsonl       or any other history
  checker bench --in-flight 256 --reads 0         how fast are writes?

";

/// Ends `-h`, too.
pub(super) const CODES: &str = "\
Exit codes, of which a command may have only some:
  0    valid, or done
  1    invalid: something impossible was seen; why is printed
  2    unknown: not decided within the bounds
  3    vacuous: too little happened to prove anything
  254  bad arguments
  255  the checker failed, or a node ended by itself";

pub(super) const RUN: &str = "\
Results in the store:
  latest/report.html    for people: verdict, operations, who led, faults
  latest/results.json   the same for machines
  latest/history.jsonl  what clients did and saw, for `checker verify`
  latest/leaders.jsonl  who claimed to lead, and when
  latest/test.json      all it takes to repeat the test
  latest/nodes/         the log and the data of each node

Repetition:
  The seed decides which operations are asked for and which faults are
  planned, but not how threads, sockets and disks take turns: the same seed
  is the same test, not the same run. --replay also begins each operation
  when it began then; what a cas expects is what has been seen by now.
  --shrink tries with half of the faults, then with fewer, and with a
  shorter load; whatever is invalid counts. The smallest plan is left in the
  store, to be replayed.

Examples:
  checker run
  checker run --nodes 5 --nemesis kill,partition --time-limit 60
  checker run --replay store/latest
  checker run --replay store/latest --shrink --tries 5

Exit codes:
  0    valid: every key is linearizable, and replicas are equal
  1    invalid: why is printed
  2    unknown: a key is undecided
  3    vacuous: nothing was proven; why is printed
  254  bad arguments
  255  the checker failed, or a node ended by itself";

pub(super) const VERIFY: &str = "\
Formats:
  jsonl  one JSON object a line; what `checker run` records
         {\"process\":3,\"type\":\"invoke\",\"f\":\"cas\",\"value\":[\"k7\",[\"old\",\"new\"]]}
  edn    one collection of maps, or maps one after another
         {:process 3, :type :invoke, :f :cas, :value [1 2]}
  log    a log with lines of jepsen.util; its other whole lines are passed over
         INFO  jepsen.util - 3<TAB>:invoke<TAB>:cas<TAB>[1 2]
  text   Jepsen's history.txt
         3<TAB>:invoke<TAB>:cas<TAB>[1 2]

Events:
  f is read, write, cas, delete or append; get is read, and put is write. A
  process that is no number, such as nemesis, is no client. Events count in
  recorded order; their times are shown, and decide nothing. A completion
  `ok` says what is true, whatever the invocation said. A `fail` did not
  happen, except that a cas with the error [\"mismatch\", CURRENT] or
  [\"missing\"] saw what was there. An `info`, or no completion, is
  indeterminate: it may take effect at any later time, and the process must
  not go on. A line that makes no sense is an error; none is skipped.

Examples:
  checker verify store/latest/history.jsonl
  checker verify --model kv-append --initial '\"\"' c10-ok.txt c10-bad.txt
  checker verify --json --proof proof.json jepsen/store/latest/history.edn
  grep jepsen.util jepsen.log | checker verify --failed-cas constraint -

Exit codes, of several files the first that applies:
  255  the checker failed, or found its own proof to be wrong; please report
       the history
  1    invalid: a history is not linearizable; why is printed
  254  bad arguments, or a file that is no history
  2    unknown: a key is undecided within the bounds; which, and what to try,
       is printed
  3    vacuous: no operation was answered, so that nothing is proven
  0    valid: every key of every history is linearizable";

pub(super) const BENCH: &str = "\
What is measured:
  All keys are given values first, so that each read finds one. Operations of
  the warm-up have ended before the first that counts begins, and no
  operation is under way when counters are read.

  With --rate, latency counts from the moment an operation was due, not from
  when there was room to send it: if the cluster stands still for a second,
  all that were due meanwhile have waited. How late the clients were to send
  is told; so is what was due and never sent. Without --rate, latency counts
  from when an operation was sent, and a stall is felt only by those in
  flight.

  The clients share the machine with the nodes: they take of its processors,
  too, as the table shows. Ratios of two runs, one right after the other, say
  more than numbers of one.

Examples:
  checker bench --in-flight 256 --reads 0
  checker bench --rate 20000 --reads 90 --duration 60
  checker bench --baseline --reads 0 --sync os
  checker bench --cluster cluster.json --json

Exit codes:
  0    measured; operations that did not succeed, if any, are told
  3    vacuous: no operation succeeded
  254  bad arguments
  255  the checker failed, or a node ended by itself";

pub(super) const REPORT: &str = "\
Examples:
  checker report store/latest

Exit codes:
  0    written, whatever it tells
  254  bad arguments, or not the folder of a run of this version
  255  the checker failed";

pub(super) const SUMMARY: &str = "\
Examples:
  checker summary
  checker summary store/latest

Exit codes, that of the worst run:
  1    invalid
  255  no verdict
  2    unknown
  3    vacuous
  0    valid
  254  bad arguments, or no run has left anything there";
