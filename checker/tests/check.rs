//! Small histories whose verdict is known.

use checker::check::{Action, Operation, Seen, Verdict, check};
use checker::linearizability::{Bounds, Cause, Limit};

type State = Option<u64>;

/// One operation: when it was invoked and completed, and by which process.
fn op(process: u64, from: u64, to: u64, action: Action<State>) -> Operation<State> {
    Operation { process, invoked: from, completed: Some(to), action }
}

/// One that never completed.
fn lost(process: u64, from: u64, action: Action<State>) -> Operation<State> {
    Operation { process, invoked: from, completed: None, action }
}

fn read(value: impl Into<Option<u64>>) -> Action<State> {
    Action::Read(value.into())
}

fn write(value: u64) -> Action<State> {
    Action::Write(Some(value))
}

fn delete() -> Action<State> {
    Action::Write(None)
}

fn cas(old: impl Into<Option<u64>>, new: u64, seen: Seen<State>) -> Action<State> {
    Action::Cas { old: old.into(), new: Some(new), seen }
}

fn judge(operations: &[Operation<State>]) -> Verdict<&'static str, State> {
    let history = operations.iter().cloned().map(|operation| ("x", operation));
    check(history, None, &Bounds::default()).expect("the proof stands")
}

fn assert_valid(operations: &[Operation<State>]) {
    assert_eq!(judge(operations), Verdict::Valid);
}

/// That `operations` are invalid for this reason, and that those at the indexes `core` prove it.
fn assert_invalid(operations: &[Operation<State>], cause: Cause, core: &[usize]) {
    let verdict = judge(operations);
    let core = core.iter().map(|&index| operations[index].clone()).collect();
    assert_eq!(verdict, Verdict::Invalid { key: "x", cause, operations: core }, "{verdict}");
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
        assert_invalid(&[op(1, 1, 2, write(7)), op(2, 3, 4, read(None))], Cause::Stale, &[0, 1]);
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
        assert_invalid(&stale, Cause::Stale, &[0, 2, 3]);
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
        assert_invalid(&history(2, 1), Cause::WentBack, &[0, 1, 2, 3]);
    }

    #[test]
    fn a_read_of_what_nobody_wrote_is_invalid() {
        assert_invalid(&[op(1, 1, 2, write(1)), op(2, 3, 4, read(9))], Cause::Phantom, &[1]);
    }

    #[test]
    fn a_read_of_what_is_written_later_is_invalid() {
        let history = [op(1, 1, 2, write(1)), op(2, 3, 4, read(2)), op(1, 5, 6, write(2))];
        assert_invalid(&history, Cause::FromTheFuture, &[1, 2]);
    }

    #[test]
    fn a_deleted_value_is_gone() {
        let history = |seen| [op(1, 1, 2, write(1)), op(1, 3, 4, delete()), op(1, 5, 6, seen)];
        assert_valid(&history(read(None)));
        assert_valid(&history(cas(1, 2, Seen::Current(None))));
        assert_valid(&history(cas(None, 2, Seen::Matched)));
        assert_invalid(&history(read(1)), Cause::Stale, &[0, 1, 2]);
    }

    #[test]
    fn a_lost_update_is_invalid() {
        let twice_from_the_same_value = [
            op(1, 1, 2, write(1)),
            op(1, 3, 9, cas(1, 2, Seen::Matched)),
            op(2, 4, 8, cas(1, 3, Seen::Matched)),
        ];
        assert_invalid(&twice_from_the_same_value, Cause::DoubleCas, &[0, 1, 2]);
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
        assert_valid(&[op(1, 1, 2, write(1)), op(1, 3, 4, cas(2, 3, Seen::Current(Some(1))))]);
        assert_valid(&[op(1, 1, 2, write(1)), op(1, 3, 4, cas(None, 3, Seen::Current(Some(1))))]);
        assert_invalid(
            &[op(1, 1, 2, write(1)), op(1, 3, 4, cas(2, 3, Seen::Current(None)))],
            Cause::Stale,
            &[0, 1],
        );
    }

    #[test]
    fn a_mismatch_with_the_expected_state_is_invalid() {
        let history = [op(1, 1, 2, write(1)), op(1, 3, 4, cas(1, 3, Seen::Current(Some(1))))];
        assert_invalid(&history, Cause::Contradiction, &[1]);
        assert_invalid(
            &[op(1, 3, 4, cas(None, 3, Seen::Current(None)))],
            Cause::Contradiction,
            &[0],
        );
    }
}

mod indeterminate_operations {
    use super::*;

    fn unknown(old: impl Into<Option<u64>>, new: u64) -> Action<State> {
        cas(old, new, Seen::Matched)
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
    fn a_circle_of_compare_and_sets_proves_nothing_but_itself() {
        let circle =
            [op(1, 1, 2, unknown(3, 4)), lost(2, 3, unknown(4, 3)), op(3, 4, 5, unknown(4, 5))];
        assert_invalid(&circle, Cause::CasCycle, &[0, 1]);
    }

    #[test]
    fn a_write_does_not_appear_before_its_invocation() {
        assert_invalid(
            &[op(1, 1, 2, read(2)), lost(2, 3, write(2))],
            Cause::FromTheFuture,
            &[0, 1],
        );
    }

    #[test]
    fn a_write_that_appeared_does_not_vanish() {
        let history = [
            op(1, 1, 2, write(1)),
            lost(2, 3, write(2)),
            op(1, 4, 5, read(2)),
            op(1, 6, 7, read(1)),
        ];
        assert_invalid(&history, Cause::WentBack, &[0, 1, 2, 3]);
    }

    #[test]
    fn a_write_appears_at_most_once() {
        let history = [
            lost(2, 1, write(2)),
            op(1, 2, 3, read(2)),
            op(1, 4, 5, write(1)),
            op(1, 6, 7, read(2)),
        ];
        assert_invalid(&history, Cause::Stale, &[0, 1, 2, 3]);
        let twice = [&history[..], &[lost(3, 4, write(2))]].concat();
        assert_valid(&twice);
    }

    #[test]
    fn a_delete_may_appear_late_or_never() {
        let history = |value| [op(1, 1, 2, write(1)), lost(2, 3, delete()), value];
        assert_valid(&history(op(1, 4, 5, read(1))));
        assert_valid(&history(op(1, 4, 5, read(None))));
    }

    #[test]
    fn a_cas_may_take_effect_or_do_nothing() {
        let history = |value| [op(1, 1, 2, write(1)), lost(2, 3, unknown(1, 2)), value];
        assert_valid(&history(op(1, 4, 5, read(1))));
        assert_valid(&history(op(1, 4, 5, read(2))));
        assert_invalid(&history(op(1, 4, 5, read(None))), Cause::Stale, &[0, 2]);
    }

    #[test]
    fn a_cas_needs_its_old_value() {
        let history = [op(1, 1, 2, write(1)), lost(2, 3, unknown(5, 2)), op(1, 4, 5, read(2))];
        assert_invalid(&history, Cause::Phantom, &[1, 2]);
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
    fn what_completed_after_the_contradiction_counts_as_indeterminate() {
        let history = [op(1, 1, 9, cas(None, 1, Seen::Matched)), op(2, 2, 3, read(1))];
        assert_valid(&history);
        let history = [&history[..], &[op(2, 4, 5, read(None))]].concat();
        assert_invalid(&history, Cause::WentBack, &[0, 1, 2]);
    }
}

mod verdicts {
    use super::*;

    fn stale_read() -> [Operation<State>; 2] {
        [op(1, 1, 2, write(7)), op(2, 3, 4, read(None))]
    }

    /// No engine but the search can decide it: the key is missing again.
    fn hard() -> [Operation<State>; 3] {
        [op(1, 1, 2, write(7)), op(2, 3, 4, delete()), op(1, 5, 6, read(None))]
    }

    fn judge_both(
        x: &[Operation<State>],
        y: &[Operation<State>],
        configurations: u64,
    ) -> Verdict<&'static str, State> {
        let x = x.iter().map(|operation| ("x", operation.clone()));
        let y = y.iter().map(|operation| ("y", operation.clone()));
        let bounds = Bounds { configurations, ..Bounds::default() };
        check(x.chain(y), None, &bounds).expect("the proof stands")
    }

    #[test]
    fn keys_are_judged_alone() {
        let [write, read] = stale_read();
        assert_eq!(judge_both(&[write], &[read], 100), Verdict::Valid);
    }

    #[test]
    fn too_few_configurations_leave_it_unknown() {
        let verdict = judge_both(&hard(), &[], 0);
        let Verdict::Unknown { key: "x", undecided } = &verdict else { panic!("{verdict}") };
        assert_eq!(undecided.limit, Limit::Configurations);
        assert!(verdict.to_string().starts_with("unknown: key \"x\": undecided after "));
    }

    #[test]
    fn an_invalid_key_outranks_an_undecided_one() {
        let phantom = [op(3, 1, 2, read(9))];
        let verdict = judge_both(&hard(), &phantom, 0);
        let operations = phantom.to_vec();
        assert_eq!(verdict, Verdict::Invalid { key: "y", cause: Cause::Phantom, operations });
    }

    #[test]
    fn a_proof_reads_as_one_line_an_operation() {
        let history = [
            op(1, 5, 6, write(1)),
            lost(2, 7, cas(1, 2, Seen::Matched)),
            op(3, 8, 9, cas(None, 3, Seen::Current(Some(2)))),
            op(3, 10, 11, read(1)),
        ];
        let text = "\
invalid: key \"x\": went-back: no order of these operations explains their answers
         5..6        process 1    write Some(1)
         7..         process 2    cas Some(1) to Some(2)
         8..9        process 3    cas None to Some(3) -> mismatch, found Some(2)
        10..11       process 3    read -> Some(1)";
        assert_eq!(judge(&history).to_string(), text);
    }

    #[test]
    #[should_panic(expected = "before its invocation")]
    fn a_completion_before_its_invocation_is_a_bug() {
        judge(&[op(1, 2, 1, write(1))]);
    }

    #[test]
    #[should_panic(expected = "an answer is a completion")]
    fn an_answer_without_a_completion_is_a_bug() {
        judge(&[lost(1, 1, cas(1, 2, Seen::Current(Some(3))))]);
    }
}
