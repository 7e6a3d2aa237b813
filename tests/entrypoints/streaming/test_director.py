import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.director_machine import DirectorMachine
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


def test_what_comes_next_is_known_while_a_segment_runs_and_is_what_then_starts() -> None:
    director = Director(FREE, curated_prompts=["a", "b"], loop=True)
    assert director.upcoming == started(director)
    assert director.upcoming == Prompt("b", source="curated", automatic=True)
    director.submit(Prompt("mine"))
    assert director.upcoming == Prompt("mine")
    director.set_paused(True)
    assert director.upcoming is None
    director.set_paused(False)
    director.completed()
    assert started(director) == Prompt("mine")


def test_nothing_comes_next_after_the_cap_a_stop_or_without_a_source() -> None:
    director = Director(DirectorRules(segment_cap=1), auto_extension=True)
    assert director.upcoming is None
    director.submit(Prompt("one"))
    director.submit(Prompt("two"))
    started(director)
    assert director.upcoming is None
    stopping = Director(FREE)
    stopping.submit(Prompt("one"))
    stopping.stop()
    assert stopping.upcoming is None


def test_a_story_is_told_in_the_words_that_were_shown() -> None:
    director = Director(FREE, auto_extension=True)
    director.submit(Prompt("a fox"))
    started(director)
    director.reworded("a red fox in the snow")
    assert director.story == ["a red fox in the snow"]
    assert director.upcoming == Prompt("a red fox in the snow", source="auto_extension", automatic=True)
    director.completed()
    assert started(director).text == "a red fox in the snow"
    # A repetition adds nothing to a story.
    assert director.story == ["a red fox in the snow"]
    director.cancelled()
    assert director.story == ["a red fox in the snow"]


def test_a_prompt_that_was_postponed_is_the_first_again() -> None:
    director = Director(FREE, curated_prompts=["a"], loop=True)
    for text in ("one", "two"):
        director.submit(Prompt(text))
    started(director)
    director.set_paused(True)
    director.postponed()
    assert director.decide(0.0) == Wait(blocked="paused")
    director.set_paused(False)
    assert [text for text, _ in run(director, 3)] == ["one", "two", "a"]


def test_a_blocked_prompt_is_gone_and_what_follows_goes_on() -> None:
    director = Director(FREE, curated_prompts=["bad", "a", "bad", "b"], loop=True)
    assert started(director).text == "bad"
    director.blocked()
    assert [text for text, _ in run(director, 4)] == ["a", "b", "a", "b"]


def test_an_extension_that_was_blocked_is_not_tried_again_until_somebody_acts() -> None:
    director = Director(FREE, auto_extension=True)
    director.submit(Prompt("one"))
    run(director, 1)
    started(director)
    director.blocked()
    assert director.decide(0.0) == Wait(blocked="prompt_blocked")
    director.submit(Prompt("two"))
    assert [text for text, _ in run(director, 2)] == ["two", "two"]


def test_a_blocked_prompt_that_was_played_before_takes_its_place_in_the_list_along() -> None:
    director = Director(FREE, curated_prompts=["a", "b", "a", "c"], auto_extension=True)
    run(director, 2)
    assert started(director).text == "a"
    director.blocked()
    assert [text for text, _ in run(director, 2)] == ["c", "c"]


def test_a_segment_that_two_servers_left_unfinished_is_made_by_the_third() -> None:
    first, second, third = Director(FREE), Director(FREE), Director(FREE)
    first.submit(Prompt("one"))
    started(first)
    first.reworded("better one")
    second.restore(first.record())
    third.restore(second.record())
    assert third.decide(0.0) == Start(Prompt("better one"), continues=True, again=True)
    third.completed()
    assert third.story == ["better one"]


def test_any_order_of_commands_and_outcomes_keeps_the_promises() -> None:
    # benchmarks/director_traces.py runs 10,000 of these.
    run_state_machine_as_test(
        DirectorMachine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )
