from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastvideo.entrypoints.streaming.director import Director, DirectorRules, End, Prompt, Start, Wait

RULES = DirectorRules(segment_cap=3, at_cap="end", lead_s=8.0, max_pending=2)
FREE = DirectorRules(segment_cap=1000, lead_s=8.0)


def started(director: Director, now_s: float = 0.0) -> Prompt:
    decision = director.decide(now_s)
    assert isinstance(decision, Start)
    return decision.prompt


def run(director: Director, segments: int) -> list[tuple[str, str]]:
    made = []
    for _ in range(segments):
        prompt = started(director)
        made.append((prompt.text, prompt.source))
        director.completed()
    return made


def test_prompts_run_in_the_order_they_came() -> None:
    director = Director(RULES)
    assert director.decide(0.0) == Wait()
    director.submit(Prompt("one"))
    director.submit(Prompt("two", source="enhanced"))
    assert run(director, 2) == [("one", "user"), ("two", "enhanced")]
    assert director.decide(0.0) == Wait()


def test_no_more_prompts_wait_than_allowed() -> None:
    director = Director(RULES)
    director.submit(Prompt("one"))
    assert not director.full
    director.submit(Prompt("two"))
    assert director.full
    with pytest.raises(ValueError, match="2 prompts"):
        director.submit(Prompt("three"))
    started(director)
    director.submit(Prompt("three"))


def test_curated_prompts_wait_for_a_toggle_so_that_plain_clients_get_nothing_they_did_not_ask_for() -> None:
    director = Director(FREE, curated_prompts=["a", "b"])
    assert director.decide(0.0) == Wait()
    director.set_loop(True)
    assert run(director, 5) == [
        ("a", "curated"),
        ("b", "curated"),
        ("a", "curated"),
        ("b", "curated"),
        ("a", "curated"),
    ]


def test_automatic_extension_plays_the_curated_prompts_once_and_then_goes_on_with_the_last() -> None:
    director = Director(FREE, curated_prompts=["a", " ", "b"], auto_extension=True)
    assert run(director, 4) == [("a", "curated"), ("b", "curated"), ("b", "auto_extension"), ("b", "auto_extension")]


def test_an_extension_keeps_what_the_prompt_avoids_but_not_its_sampling() -> None:
    director = Director(FREE, auto_extension=True)
    director.submit(Prompt("sea", negative_prompt="boats", seed=7, num_inference_steps=4))
    run(director, 1)
    assert started(director) == Prompt("sea", source="auto_extension", negative_prompt="boats", automatic=True)


def test_a_users_prompt_comes_before_curated_ones() -> None:
    director = Director(FREE, curated_prompts=["a", "b"], loop=True)
    run(director, 1)
    director.submit(Prompt("mine"))
    assert run(director, 2) == [("mine", "user"), ("b", "curated")]


def test_new_curated_prompts_start_from_their_first() -> None:
    director = Director(FREE, curated_prompts=["a", "b"], loop=True)
    assert started(director).text == "a"
    director.replace_curated(["x", "y"])
    director.completed()
    assert run(director, 3) == [("x", "curated"), ("y", "curated"), ("x", "curated")]


def test_a_pause_defers_what_is_queued_and_is_told_only_to_sessions_that_run_by_themselves() -> None:
    plain = Director(FREE)
    plain.set_paused(True)
    plain.submit(Prompt("later"))
    assert plain.decide(0.0) == Wait()
    plain.set_paused(False)
    assert plain.decide(0.0) == Start(Prompt("later"), continues=True)

    looping = Director(FREE, curated_prompts=["a"], loop=True)
    looping.set_paused(True)
    assert looping.decide(0.0) == Wait(blocked="paused")
    assert looping.decide(0.0) == Wait()
    looping.set_paused(False)
    assert looping.decide(0.0) == Start(Prompt("a", source="curated", automatic=True), continues=True, resumed=True)


def test_a_session_that_should_run_by_itself_and_cannot_says_so_once() -> None:
    director = Director(FREE, auto_extension=True)
    assert director.decide(0.0) == Wait(blocked="no_prompt")
    assert director.decide(1.0) == Wait()
    director.submit(Prompt("one"))
    assert director.decide(2.0) == Start(Prompt("one"), continues=True, resumed=True)
    director.completed()
    assert director.decide(3.0) == Start(
        Prompt("one", source="auto_extension", automatic=True), continues=True, resumed=False
    )


def test_the_cap_ends_the_stream() -> None:
    director = Director(RULES, curated_prompts=["a"], loop=True)
    run(director, 3)
    assert director.decide(0.0) == End("segment_cap")


def test_only_complete_segments_count_towards_the_cap() -> None:
    director = Director(RULES)
    for _ in range(3):
        director.submit(Prompt("x"))
        started(director)
        director.failed()
        director.submit(Prompt("y"))
        started(director)
        director.cancelled()
    director.submit(Prompt("z"))
    assert isinstance(director.decide(0.0), Start)


@pytest.mark.parametrize("go_on", [lambda d: d.submit(Prompt("more")), lambda d: d.set_paused(False)])
def test_a_pausing_cap_waits_for_the_user_and_then_allows_as_many_again(go_on) -> None:
    director = Director(DirectorRules(segment_cap=2, at_cap="pause"), curated_prompts=["a"], loop=True)
    run(director, 2)
    assert director.decide(0.0) == Wait(blocked="segment_cap")
    assert director.decide(0.0) == Wait()
    go_on(director)
    first = director.decide(0.0)
    assert isinstance(first, Start)
    assert first.resumed
    director.completed()
    run(director, 1)
    assert director.decide(0.0) == Wait(blocked="segment_cap")


def test_single_clips_do_not_continue_have_no_cap_and_never_run_by_themselves() -> None:
    director = Director(RULES, curated_prompts=["a"], loop=True, auto_extension=True, single_clip=True)
    assert director.decide(0.0) == Wait()
    for _ in range(5):
        director.submit(Prompt("clip"))
        assert director.decide(0.0) == Start(Prompt("clip"), continues=False)
        director.completed()
    assert director.decide(0.0) == Wait()


def test_a_cancel_holds_automatic_sources_but_not_what_the_user_queued() -> None:
    director = Director(FREE, curated_prompts=["a", "b"], loop=True)
    started(director)
    director.submit(Prompt("mine"))
    director.cancelled()
    assert started(director).text == "mine"
    director.cancelled()
    assert director.decide(0.0) == Wait(blocked="cancelled")
    director.set_loop(True)
    # The cancelled one is skipped.
    assert started(director).text == "b"


def test_a_failure_is_not_tried_again_until_somebody_acts() -> None:
    director = Director(FREE, curated_prompts=["a", "b"], loop=True)
    started(director)
    director.failed()
    assert director.decide(0.0) == Wait(blocked="worker_failed")
    director.set_paused(False)
    assert started(director).text == "a"


def test_a_stop_wins_over_everything() -> None:
    director = Director(FREE, curated_prompts=["a"], loop=True)
    director.submit(Prompt("one"))
    director.set_paused(True)
    director.stop()
    assert director.decide(0.0) == End("stop_requested")


def test_automatic_sources_keep_the_lead_and_users_do_not_wait_for_it() -> None:
    director = Director(FREE, curated_prompts=["a"], loop=True)
    started(director)
    director.viewer.sent(9500.0, 100.0)
    director.completed()
    assert director.decide(100.5) == Wait(until_s=101.5)
    director.viewer.reported(0.0, 101.5)
    assert director.decide(101.5) == Wait(until_s=103.0)
    director.submit(Prompt("now"))
    assert started(director, 101.5).text == "now"
    director.completed()
    assert started(director, 103.0).text == "a"


def test_deciding_while_a_segment_runs_is_a_mistake() -> None:
    director = Director(FREE)
    with pytest.raises(RuntimeError, match="no segment"):
        director.completed()
    director.submit(Prompt("one"))
    started(director)
    with pytest.raises(RuntimeError, match="running"):
        director.decide(0.0)


@dataclass
class _Model:
    """What must hold, kept apart from how the director does it."""

    pending: int = 0
    running: bool = False
    paused: bool = False
    stopping: bool = False
    by_itself: bool = False
    completed: int = 0


class DirectorMachine(RuleBasedStateMachine):
    """Any order of commands and outcomes keeps the promises that the runner relies on."""

    def __init__(self) -> None:
        super().__init__()
        self.director = Director(DirectorRules(segment_cap=4, at_cap="end", lead_s=2.0, max_pending=3))
        self.model = _Model()
        self.now_s = 0.0
        self.told_blocked = False
        self.loop = self.extend = False

    @precondition(lambda self: not self.director.full)
    @rule(source=st.sampled_from(["user", "enhanced"]))
    def submit(self, source: str) -> None:
        self.director.submit(Prompt("text", source=source))  # type: ignore[arg-type]
        self.model.pending += 1

    @rule(value=st.booleans())
    def pause(self, value: bool) -> None:
        self.director.set_paused(value)
        self.model.paused = value

    @rule(value=st.booleans())
    def toggle_loop(self, value: bool) -> None:
        self.director.set_loop(value)
        self.loop = value

    @rule(value=st.booleans())
    def toggle_extension(self, value: bool) -> None:
        self.director.set_auto_extension(value)
        self.extend = value

    @rule(prompts=st.lists(st.sampled_from(["a", "b", ""]), max_size=3))
    def replace(self, prompts: list[str]) -> None:
        self.director.replace_curated(prompts)

    @rule()
    def stop(self) -> None:
        self.director.stop()
        self.model.stopping = True

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.model.running)
    @rule(outcome=st.sampled_from(["completed", "cancelled", "failed"]), media_ms=st.floats(0, 5000))
    def finish(self, outcome: str, media_ms: float) -> None:
        self.director.viewer.sent(self.director.viewer.end_ms + media_ms, self.now_s)
        getattr(self.director, outcome)()
        self.model.running = False
        self.model.completed += outcome == "completed"

    @precondition(lambda self: not self.model.running)
    @rule()
    def decide(self) -> None:
        decision = self.director.decide(self.now_s)
        model, by_itself = self.model, self.loop or self.extend
        match decision:
            case End(reason="stop_requested"):
                assert model.stopping
            case End(reason="segment_cap"):
                assert not model.stopping
                assert model.completed >= 4
            case End():
                pytest.fail("the director never ends with an error by itself")
            case Start(prompt=prompt, resumed=resumed):
                assert not model.stopping
                assert not model.paused
                assert model.completed < 4
                assert prompt.text.strip()
                assert resumed == self.told_blocked
                self.told_blocked = False
                model.running = True
                if prompt.source in ("user", "enhanced"):
                    model.pending -= 1
                else:
                    assert by_itself
                    assert model.pending == 0
                    assert self.director.viewer.ahead_ms(self.now_s) <= 2000.0 + 1e-6
            case Wait(until_s=until_s, blocked=blocked):
                assert not model.stopping
                assert model.completed < 4
                assert model.paused or model.pending == 0
                if until_s is not None:
                    assert until_s > self.now_s
                    assert by_itself
                if blocked is not None:
                    assert by_itself
                    self.told_blocked = True

    @invariant()
    def the_running_prompt_is_known(self) -> None:
        assert (self.director.running is not None) == self.model.running
        assert 0 <= self.model.pending <= 3


DirectorMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_order_of_commands_and_outcomes_keeps_the_promises = DirectorMachine.TestCase
