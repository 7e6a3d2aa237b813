import torch

from fastvideo.pipelines.basic.ltx2.batch import Stream, seeded_noise


def test_what_is_kept_is_mixed_in_by_its_mask() -> None:
    noise = torch.randn(1, 4, 3)
    stream = Stream.of_noise(noise.clone())
    clean = torch.randn(1, 2, 3)
    stream.keep(slice(0, 1), clean[:, :1], 0.0)
    stream.keep(slice(1, 2), clean[:, 1:], 0.25)
    assert torch.equal(stream.latents[:, 0], clean[:, 0])
    torch.testing.assert_close(stream.latents[:, 1], 0.75 * clean[:, 1] + 0.25 * noise[:, 1])
    assert torch.equal(stream.latents[:, 2:], noise[:, 2:])
    assert stream.mask.tolist() == [[0.0, 0.25, 1.0, 1.0]]
    assert torch.equal(stream.clean[:, :2], clean)


def test_a_mask_of_one_keeps_nothing() -> None:
    noise = torch.randn(1, 2, 3)
    stream = Stream.of_noise(noise.clone())
    stream.keep(slice(0, 2), torch.randn(1, 2, 3), 1.0)
    assert torch.equal(stream.latents, noise)


def test_a_seed_gives_one_sequence_of_values() -> None:
    first, again = seeded_noise(4), seeded_noise(4)
    assert torch.equal(first((2, 3)), again((2, 3)))
    assert not torch.equal(first((2, 3)), seeded_noise(4)((2, 3)))
    assert not torch.equal(seeded_noise(4)((2, 3)), seeded_noise(5)((2, 3)))
