import torch

from fastvideo.pipelines.basic.ltx2.guidance import Guidance, StreamGuidance


def test_by_default_nothing_is_guided_and_no_weaker_pass_is_needed() -> None:
    clean = torch.randn(1, 4, 3)
    assert Guidance().passes == ()
    assert StreamGuidance().apply(clean, {}) is clean
    assert StreamGuidance(rescale=0.7).apply(clean, {}) is clean


def test_a_pass_that_either_stream_needs_is_made_once_and_in_order() -> None:
    guidance = Guidance(StreamGuidance(stg=1.0, modality=3.0), StreamGuidance(cfg=7.0, stg=1.0))
    assert guidance.passes == ("negative", "perturbed", "isolated")
    assert Guidance(audio=StreamGuidance(modality=0.5)).passes == ("isolated",)


def test_each_weaker_prediction_is_moved_away_from_by_its_own_scale() -> None:
    clean = torch.full((1, 2, 2), 3.0)
    weaker = {"negative": torch.full((1, 2, 2), 2.0), "perturbed": torch.full((1, 2, 2), 4.0)}
    guided = StreamGuidance(cfg=2.5, stg=0.5).apply(clean, weaker | {"isolated": torch.zeros(1, 2, 2)})
    assert torch.equal(guided, torch.full((1, 2, 2), 3.0 + 1.5 * 1.0 - 0.5 * 1.0))


def test_a_full_rescale_gives_back_the_deviation_and_half_of_it_lies_halfway() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, negative = (torch.randn((1, 50, 4), generator=generator) for _ in range(2))
    spread = {
        rescale: float(StreamGuidance(cfg=4.0, rescale=rescale).apply(clean, {"negative": negative}).std())
        for rescale in (0.0, 0.5, 1.0)
    }
    assert spread[0.0] > 2 * float(clean.std())
    assert abs(spread[1.0] - float(clean.std())) < 1e-5
    assert abs(spread[0.5] - (spread[0.0] + spread[1.0]) / 2) < 1e-5
