"""What a recording itself shows."""

import errno

import pytest

from vfiokit.accesses import Enter, Put, Read, Sample, Say, Take
from vfiokit.errors import AccessError, RuleError
from vfiokit.recording import Recording
from vfiokit.reports import verdicts


class Run:
    """Appends accesses, a millisecond apart."""

    def __init__(self, **metadata):
        self.recording = Recording(metadata=metadata)
        self.time = 0

    def put(self, access, side="source", result=None, error=None):
        self.recording.access(side, access, result, error, self.time, 0)
        self.time += 1_000_000
        return self

    def enter(self, *pairs, side="source"):
        for machine, state in pairs:
            self.put(Enter(machine, state), side)
        return self

    def kinds(self, word):
        return [(one.kind, one.text) for one in verdicts(self.recording) if word in one.text]


def test_a_migration_that_completed(migrated):
    found = verdicts(migrated)
    assert found[0].kind == "good"
    assert found[0].text == "The migration completed."
    assert migrated.states.to_pandas().set_index("seq").state[found[0].seq] == "completed"
    assert {one.kind for one in found} == {"good"}
    assert any("converged" in one.text for one in found)
    assert any("took all that the source sent" in one.text for one in found)


@pytest.mark.parametrize(
    ("states", "kind", "words"),
    [
        ((), "unknown", "No migration is recorded."),
        (("setup", "active"), "unknown", "ends before the migration does"),
        (("active", "failed"), "bad", "failed; the source runs on"),
        (("active", "cancelling", "cancelled"), "unknown", "was cancelled"),
    ],
)
def test_how_it_ended(states, kind, words):
    run = Run().enter(*(("migration", state) for state in states))
    first = verdicts(run.recording)[0]
    assert (first.kind, words in first.text) == (kind, True)


def test_refused_accesses_are_told_by_kind_with_rule_and_hint():
    run, read = Run(), Read("dev0", 9, 8, 8, "pending_bytes")
    run.put(read, result=1)
    for _ in range(3):
        run.put(read, error=AccessError(read, errno.EIO, rule="the rule", hint="the hint"))
    (told,) = (one for one in verdicts(run.recording) if "AccessError" in one.text)
    assert (told.kind, told.seq, told.rule, told.hint) == ("bad", 1, "the rule", "the hint")
    assert "EIO" in told.text
    assert "3 times" in told.text
    assert not run.kinds("was refused")


@pytest.mark.parametrize(("limit", "kind"), [("9000000", "good"), ("1000000", "bad"), ("", "unknown")])
def test_the_downtime_is_held_against_its_limit(limit, kind):
    run = Run(downtime_limit_ns=limit)
    run.enter(
        ("vm", "running"), ("migration", "active"), ("vm", "finish-migrate"), ("migration", "completed")
    )
    run.enter(("vm", "running"), side="destination")
    assert [one for one, _ in run.kinds("owntime")] == [kind]


def test_what_one_end_sent_and_the_other_did_not_take():
    run = Run().put(Put(b"12345678", "data")).put(Take(4, "data"), "destination", b"1234")
    run.enter(("migration", "completed"))
    assert run.kinds("sent") == [("bad", "The source sent 8 bytes, the destination took 4.")]


def test_a_device_that_dirties_faster_than_the_link():
    run = Run().enter(("vm", "running"), ("migration", "active"))
    for turn in range(9):
        run.put(Sample(turn, (("dev0", (turn + 1) << 20),), 1, 1.0, 0, 0, turn))
    assert [kind for kind, _ in run.kinds("Pre-copy did not end")] == ["bad"]


def test_what_a_device_says_is_passed_on():
    run = Run().put(Say("dev0", "cannot migrate"))
    assert run.kinds("cannot migrate") == [("unknown", "source, dev0 says: cannot migrate")]


def test_what_ended_a_flow_is_told_once_with_its_rule_and_hint():
    run = Run().enter(("migration", "active"), ("migration", "failed"))
    broken = RuleError(Read("dev0", 9, 16, 8, "data_offset"), "data_offset 0x20", rule="never below 0x40")
    for side in ("source", None):
        run.recording.fail(side, broken, run.time)
    (told,) = [one for one in verdicts(run.recording) if "0x20" in one.text]
    assert (told.kind, told.rule) == ("bad", "never below 0x40")
    assert told.text.startswith("source: ")


def test_an_error_that_an_access_came_back_with_is_told_with_the_access_alone():
    run, read = Run(), Read("dev0", 9, 8, 8, "pending_bytes")
    error = AccessError(read, errno.EIO)
    run.put(read, error=error).recording.fail("source", error, run.time)
    assert len([one for one in verdicts(run.recording) if "EIO" in one.text]) == 1
