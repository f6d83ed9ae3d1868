//! Small histories whose verdict is known, and random ones judged a second time by brute force.

use checker::check::{Action, Operation, Seen, Verdict, check};

const STEPS_MAX: u64 = 1_000_000;

/// One operation: when it was invoked and completed, and by which process.
fn op(process: u64, from: u64, to: u64, action: Action<u64>) -> Operation<u64> {
    Operation { process, invoked: from, completed: Some(to), action }
}

/// One that never completed.
fn lost(process: u64, from: u64, action: Action<u64>) -> Operation<u64> {
    Operation { process, invoked: from, completed: None, action }
}

fn read(value: impl Into<Option<u64>>) -> Action<u64> {
    Action::Read(value.into())
}

fn write(value: u64) -> Action<u64> {
    Action::Write(value)
}

fn cas(old: impl Into<Option<u64>>, new: u64, seen: Seen<u64>) -> Action<u64> {
    Action::Cas { old: old.into(), new, seen }
}

fn judge(operations: &[Operation<u64>]) -> Verdict<&'static str, u64> {
    check(operations.iter().cloned().map(|operation| ("x", operation)), STEPS_MAX)
}

fn assert_valid(operations: &[Operation<u64>]) {
    assert_eq!(judge(operations), Verdict::Valid);
}

/// That `operations` are invalid, and that those at the indexes `core` are named as the proof.
fn assert_invalid(operations: &[Operation<u64>], core: &[usize]) {
    let core = core.iter().map(|&index| operations[index].clone()).collect();
    assert_eq!(judge(operations), Verdict::Invalid { key: "x", operations: core });
}

mod completed_operations {
    use super::*;

    #[test]
    fn nothing_is_valid() {
        assert_valid(&[]);
    }

    #[test]
    fn a_key_is_missing_at_first() {
        assert_valid(&[op(1, 1, 2, read(None))]);
    }

    #[test]
    fn a_read_after_a_write_sees_it() {
        assert_valid(&[op(1, 1, 2, write(7)), op(2, 3, 4, read(7))]);
        assert_invalid(&[op(1, 1, 2, write(7)), op(2, 3, 4, read(None))], &[0, 1]);
    }

    #[test]
    fn a_read_during_a_write_may_see_it_or_not() {
        assert_valid(&[op(1, 1, 4, write(7)), op(2, 2, 3, read(None))]);
        assert_valid(&[op(1, 1, 4, write(7)), op(2, 2, 3, read(7))]);
    }

    #[test]
    fn equal_times_are_concurrent() {
        assert_valid(&[op(1, 1, 2, write(7)), op(2, 2, 3, read(None))]);
        assert_valid(&[op(1, 2, 3, write(7)), op(2, 1, 2, read(7))]);
    }

    #[test]
    fn a_stale_read_is_invalid() {
        let stale = [
            op(1, 1, 2, write(1)),
            op(2, 3, 4, read(1)),
            op(1, 5, 6, write(2)),
            op(2, 7, 8, read(1)),
            op(2, 9, 10, read(2)),
        ];
        assert_invalid(&stale, &[0, 2, 3]);
    }

    #[test]
    fn two_reads_never_go_back() {
        let history = |first, second| {
            [
                op(1, 1, 2, write(1)),
                op(1, 3, 9, write(2)),
                op(2, 4, 5, read(first)),
                op(3, 6, 7, read(second)),
            ]
        };
        assert_valid(&history(1, 2));
        assert_invalid(&history(2, 1), &[0, 1, 2, 3]);
    }

    #[test]
    fn a_read_of_what_nobody_wrote_is_invalid() {
        assert_invalid(&[op(1, 1, 2, write(1)), op(2, 3, 4, read(9))], &[1]);
    }

    #[test]
    fn a_read_of_what_is_written_later_is_invalid() {
        let history = [op(1, 1, 2, write(1)), op(2, 3, 4, read(2)), op(1, 5, 6, write(2))];
        assert_invalid(&history, &[1]);
    }

    #[test]
    fn a_deleted_value_is_gone() {
        let history =
            |seen| [op(1, 1, 2, write(1)), op(1, 3, 4, Action::Delete), op(1, 5, 6, seen)];
        assert_valid(&history(read(None)));
        assert_valid(&history(cas(1, 2, Seen::Missing)));
        assert_valid(&history(cas(None, 2, Seen::Matched)));
        assert_invalid(&history(read(1)), &[0, 1, 2]);
    }

    #[test]
    fn a_lost_update_is_invalid() {
        let twice_from_the_same_value = [
            op(1, 1, 2, write(1)),
            op(1, 3, 9, cas(1, 2, Seen::Matched)),
            op(2, 4, 8, cas(1, 3, Seen::Matched)),
        ];
        assert_invalid(&twice_from_the_same_value, &[0, 1, 2]);
    }

    #[test]
    fn a_value_written_again_can_be_replaced_again() {
        assert_valid(&[
            op(1, 1, 2, write(1)),
            op(1, 3, 9, cas(1, 2, Seen::Matched)),
            op(2, 4, 8, cas(1, 3, Seen::Matched)),
            op(3, 4, 8, write(1)),
        ]);
    }

    #[test]
    fn a_mismatch_reports_what_is_there() {
        assert_valid(&[op(1, 1, 2, write(1)), op(1, 3, 4, cas(2, 3, Seen::Mismatch(1)))]);
        assert_valid(&[op(1, 1, 2, write(1)), op(1, 3, 4, cas(None, 3, Seen::Mismatch(1)))]);
        assert_invalid(&[op(1, 1, 2, write(1)), op(1, 3, 4, cas(2, 3, Seen::Missing))], &[0, 1]);
    }

    #[test]
    fn a_mismatch_with_the_expected_state_is_invalid() {
        let history = [op(1, 1, 2, write(1)), op(1, 3, 4, cas(1, 3, Seen::Mismatch(1)))];
        assert_invalid(&history, &[0, 1]);
        assert_invalid(&[op(1, 3, 4, cas(None, 3, Seen::Missing))], &[0]);
    }
}

mod indeterminate_operations {
    use super::*;

    fn unknown(old: impl Into<Option<u64>>, new: u64) -> Action<u64> {
        cas(old, new, Seen::Unknown)
    }

    #[test]
    fn a_write_may_appear_late() {
        assert_valid(&[
            op(1, 1, 2, write(1)),
            lost(2, 3, write(2)),
            op(1, 4, 5, read(1)),
            op(1, 6, 7, write(3)),
            op(1, 8, 9, read(3)),
            op(1, 10, 11, read(2)),
        ]);
    }

    #[test]
    fn a_write_may_never_appear() {
        assert_valid(&[lost(2, 1, write(2)), op(1, 4, 5, read(None))]);
    }

    #[test]
    fn a_write_does_not_appear_before_its_invocation() {
        assert_invalid(&[op(1, 1, 2, read(2)), lost(2, 3, write(2))], &[0]);
    }

    #[test]
    fn a_write_that_appeared_does_not_vanish() {
        let history = [
            op(1, 1, 2, write(1)),
            lost(2, 3, write(2)),
            op(1, 4, 5, read(2)),
            op(1, 6, 7, read(1)),
        ];
        assert_invalid(&history, &[0, 1, 2, 3]);
    }

    #[test]
    fn a_write_appears_at_most_once() {
        let history = [
            lost(2, 1, write(2)),
            op(1, 2, 3, read(2)),
            op(1, 4, 5, write(1)),
            op(1, 6, 7, read(2)),
        ];
        assert_invalid(&history, &[0, 1, 2, 3]);
        let twice = [&history[..], &[lost(3, 4, write(2))]].concat();
        assert_valid(&twice);
    }

    #[test]
    fn a_delete_may_appear_late_or_never() {
        let history = |value| [op(1, 1, 2, write(1)), lost(2, 3, Action::Delete), value];
        assert_valid(&history(op(1, 4, 5, read(1))));
        assert_valid(&history(op(1, 4, 5, read(None))));
    }

    #[test]
    fn a_cas_may_take_effect_or_do_nothing() {
        let history = |value| [op(1, 1, 2, write(1)), lost(2, 3, unknown(1, 2)), value];
        assert_valid(&history(op(1, 4, 5, read(1))));
        assert_valid(&history(op(1, 4, 5, read(2))));
        assert_invalid(&history(op(1, 4, 5, read(None))), &[0, 2]);
    }

    #[test]
    fn a_cas_needs_its_old_value() {
        let history = [op(1, 1, 2, write(1)), lost(2, 3, unknown(5, 2)), op(1, 4, 5, read(2))];
        assert_invalid(&history, &[1, 2]);
    }

    #[test]
    fn a_chain_of_them_may_appear_at_once() {
        assert_valid(&[
            lost(1, 1, write(1)),
            lost(2, 2, unknown(1, 2)),
            lost(3, 3, unknown(2, 3)),
            op(4, 4, 5, read(None)),
            op(4, 6, 7, read(3)),
        ]);
    }

    #[test]
    fn a_read_without_answer_says_nothing() {
        assert_valid(&[op(1, 1, 2, write(1)), lost(2, 3, read(None))]);
    }

    #[test]
    fn what_completed_after_the_contradiction_is_not_part_of_the_proof() {
        let history = [op(1, 1, 9, cas(None, 1, Seen::Matched)), op(2, 2, 3, read(1))];
        assert_valid(&history);
        let history = [&history[..], &[op(2, 4, 5, read(None))]].concat();
        let mut core = history.clone();
        core[0] = lost(1, 1, unknown(None, 1));
        assert_eq!(judge(&history), Verdict::Invalid { key: "x", operations: core });
    }
}

mod verdicts {
    use super::*;

    fn stale_read() -> [Operation<u64>; 2] {
        [op(1, 1, 2, write(7)), op(2, 3, 4, read(None))]
    }

    #[test]
    fn keys_are_judged_alone() {
        let [write, read] = stale_read();
        assert_eq!(check([("x", write), ("y", read)], STEPS_MAX), Verdict::Valid);
    }

    #[test]
    fn too_few_steps_leave_it_unknown() {
        let history = stale_read().map(|operation| ("x", operation));
        let verdict = check(history, 1);
        assert_eq!(verdict, Verdict::Unknown { key: "x", steps: 1 });
        assert!(verdict.to_string().starts_with("unknown: key \"x\": undecided after 1 steps"));
    }

    #[test]
    fn an_invalid_key_outranks_an_undecided_one() {
        let phantom = op(3, 1, 2, read(9));
        let mut history = stale_read().map(|operation| ("x", operation)).to_vec();
        assert_eq!(check(history.clone(), 1), Verdict::Unknown { key: "x", steps: 1 });
        history.push(("y", phantom.clone()));
        let operations = vec![phantom];
        assert_eq!(check(history, 1), Verdict::Invalid { key: "y", operations });
    }

    #[test]
    fn a_proof_reads_as_one_line_an_operation() {
        let history = [
            op(1, 5, 6, write(1)),
            lost(2, 7, cas(1, 2, Seen::Unknown)),
            op(3, 8, 9, cas(None, 3, Seen::Mismatch(2))),
            op(3, 10, 11, read(1)),
        ];
        let text = "\
invalid: key \"x\": no order of these operations explains their answers \
(`..` without an end: not completed by then)
         5..6        process 1    write 1
         7..         process 2    cas 1 to 2
         8..9        process 3    cas missing to 3 -> mismatch, found 2
        10..11       process 3    read -> 1";
        assert_eq!(judge(&history).to_string(), text);
    }

    #[test]
    #[should_panic(expected = "before its invocation")]
    fn a_completion_before_its_invocation_is_a_bug() {
        judge(&[op(1, 2, 1, write(1))]);
    }

    #[test]
    #[should_panic(expected = "an answer is a completion")]
    fn a_completed_cas_with_an_unknown_answer_is_a_bug() {
        judge(&[op(1, 1, 2, cas(1, 2, Seen::Unknown))]);
    }
}

mod random_histories {
    use super::*;

    /// Splitmix64.
    struct Random(u64);

    impl Random {
        /// The seed is `SEED`, or else fixed; printed first.
        fn new() -> Self {
            let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
            println!("SEED={seed}");
            Random(seed)
        }

        /// One of `0..bound`.
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % bound
        }

        fn percent(&mut self, chance: u64) -> bool {
            self.below(100) < chance
        }
    }

    /// Carries out `action` in `state`, and puts into it what a client sees then.
    fn perform(action: &mut Action<u64>, state: &mut Option<u64>) {
        match action {
            Action::Read(value) => *value = *state,
            Action::Write(value) => *state = Some(*value),
            Action::Delete => *state = None,
            Action::Cas { old, new, seen } => match *state {
                current if current == *old => {
                    *seen = Seen::Matched;
                    *state = Some(*new);
                }
                Some(current) => *seen = Seen::Mismatch(current),
                None => *seen = Seen::Missing,
            },
        }
    }

    /// Which histories to draw.
    struct Shape {
        operations: usize,
        clients: usize,
        indeterminate_percent: u64,
        /// Values are drawn from so many; 0: each is written once.
        values: u64,
    }

    /// An operation under way.
    struct Pending {
        operation: Operation<u64>,
        has_happened: bool,
    }

    /// What `shape` describes, from clients of a real map: linearizable by construction.
    fn legal(shape: &Shape, random: &mut Random) -> Vec<Operation<u64>> {
        let mut history = Vec::new();
        let mut state = None;
        let mut open: Vec<Pending> = Vec::new();
        // Indeterminate, and still on their way.
        let mut astray: Vec<Action<u64>> = Vec::new();
        let mut invoked = 0;
        let mut now = 0;
        while history.len() < shape.operations {
            // Now and then two events at the same time.
            now += u64::from(!random.percent(10));
            if !astray.is_empty() && random.percent(10) {
                let index = random.below(astray.len() as u64) as usize;
                perform(&mut astray.swap_remove(index), &mut state);
            }
            if open.len() < shape.clients && invoked < shape.operations && random.percent(50) {
                let action = draw_action(shape, state, invoked as u64, random);
                let operation = op(invoked as u64, now, u64::MAX, action);
                open.push(Pending { operation, has_happened: false });
                invoked += 1;
            } else if !open.is_empty() {
                let index = random.below(open.len() as u64) as usize;
                let Pending { mut operation, has_happened } = open.swap_remove(index);
                if random.percent(shape.indeterminate_percent) {
                    operation.completed = None;
                    if let Action::Cas { seen, .. } = &mut operation.action {
                        *seen = Seen::Unknown;
                    }
                    if !has_happened {
                        astray.push(operation.action.clone());
                    }
                    history.push(operation);
                } else if has_happened {
                    operation.completed = Some(now);
                    history.push(operation);
                } else {
                    perform(&mut operation.action, &mut state);
                    open.push(Pending { operation, has_happened: true });
                }
            }
        }
        history
    }

    fn draw_action(
        shape: &Shape,
        state: Option<u64>,
        unique: u64,
        random: &mut Random,
    ) -> Action<u64> {
        let new = if shape.values == 0 { unique } else { random.below(shape.values) };
        match random.below(20) {
            0..8 => read(None),
            8..14 => write(new),
            14 => Action::Delete,
            // Mostly of a value that is there, or else hardly any of unique values would match.
            15..19 => cas(state, new, Seen::Matched),
            _ => cas(new, new + 1, Seen::Matched),
        }
    }

    /// Replaces what a completed operation saw by `lie`. Returns which one, if there is any.
    fn tell_a_lie(
        history: &mut [Operation<u64>],
        lie: Option<u64>,
        random: &mut Random,
    ) -> Option<usize> {
        let start = random.below(history.len() as u64) as usize;
        let is_read =
            |op: &Operation<u64>| matches!(op.action, Action::Read(_) | Action::Cas { .. });
        let liar = (start..history.len())
            .find(|&index| history[index].completed.is_some() && is_read(&history[index]))?;
        match (&mut history[liar].action, lie) {
            (Action::Cas { seen, .. }, Some(value)) => *seen = Seen::Mismatch(value),
            (Action::Cas { seen, .. }, None) => *seen = Seen::Missing,
            (action, lie) => *action = read(lie),
        }
        Some(liar)
    }

    /// Whether any order of the `rest` after `state` is legal: all orders are tried, with each
    /// subset of the indeterminate ones.
    fn brute_force(rest: &[Operation<u64>], state: Option<u64>) -> bool {
        let Some(deadline) = rest.iter().filter_map(|op| op.completed).min() else {
            return true;
        };
        (0..rest.len()).any(|index| {
            let operation = &rest[index];
            let mut action = operation.action.clone();
            let mut after = state;
            perform(&mut action, &mut after);
            let is_explained = operation.completed.is_none() || action == operation.action;
            let mut others = rest.to_vec();
            others.remove(index);
            operation.invoked <= deadline && is_explained && brute_force(&others, after)
        })
    }

    #[test]
    fn brute_force_agrees_on_tiny_histories() {
        let mut random = Random::new();
        let (mut valid, mut invalid) = (0, 0);
        for round in 0..30_000 {
            let shape = Shape {
                operations: 1 + random.below(6) as usize,
                clients: 1 + random.below(4) as usize,
                indeterminate_percent: random.below(50),
                values: random.below(4),
            };
            let mut history = legal(&shape, &mut random);
            for _ in 0..random.below(3) {
                let lie = random.below(4).checked_sub(1);
                tell_a_lie(&mut history, lie, &mut random);
            }
            let verdict = judge(&history);
            let is_valid = brute_force(&history, None);
            assert_eq!(verdict == Verdict::Valid, is_valid, "round {round}: {history:#?}");
            match verdict {
                Verdict::Valid => valid += 1,
                Verdict::Invalid { operations, .. } => {
                    invalid += 1;
                    assert!(!brute_force(&operations, None), "round {round}: {operations:#?}");
                }
                Verdict::Unknown { .. } => panic!("round {round}: {verdict}"),
            }
        }
        println!("{valid} valid, {invalid} invalid");
        assert!(valid > 5_000 && invalid > 5_000, "{valid} valid, {invalid} invalid");
    }

    /// A sound proof must contain the lie: without it, the history is legal.
    fn assert_proof_contains(verdict: &Verdict<&str, u64>, liar: &Operation<u64>) {
        let Verdict::Invalid { operations, .. } = verdict else { panic!("{verdict}") };
        assert!(operations.iter().any(|operation| operation == liar), "{liar} not in {verdict}");
    }

    #[test]
    fn a_proof_contains_the_lie() {
        let mut random = Random::new();
        let mut lies = 0;
        for round in 0..3_000 {
            let shape = Shape {
                operations: 5 + random.below(40) as usize,
                clients: 1 + random.below(6) as usize,
                indeterminate_percent: random.below(30),
                values: random.below(2) * 4,
            };
            let mut history = legal(&shape, &mut random);
            assert_eq!(judge(&history), Verdict::Valid, "round {round}");
            let truth = history.clone();
            let lie = random.below(shape.operations as u64 + 1).checked_sub(1);
            let Some(liar) = tell_a_lie(&mut history, lie, &mut random) else {
                continue;
            };
            let verdict = judge(&history);
            // Who denies a change that others saw makes liars of them.
            let is_denial = matches!(truth[liar].action, Action::Cas { seen: Seen::Matched, .. });
            if verdict != Verdict::Valid && !is_denial {
                lies += 1;
                assert_proof_contains(&verdict, &history[liar]);
            }
        }
        println!("{lies} lies found");
        assert!(lies > 1_000, "{lies}");
    }

    #[test]
    fn one_lie_makes_a_long_legal_history_invalid() {
        let mut random = Random::new();
        for indeterminate_percent in [0, 1, 5] {
            let shape = Shape { operations: 3_000, clients: 10, indeterminate_percent, values: 0 };
            let mut history = legal(&shape, &mut random);
            assert_eq!(judge(&history), Verdict::Valid);
            let nobody_wrote = Some(1_000_000);
            tell_a_lie(&mut history, nobody_wrote, &mut random).expect("many reads");
            let verdict = judge(&history);
            println!("{verdict}");
            assert!(matches!(verdict, Verdict::Invalid { .. }), "{verdict}");
        }
    }
}
