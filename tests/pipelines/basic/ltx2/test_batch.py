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


def test_noise_of_a_level_leaves_the_rest_of_what_was_there() -> None:
    latents, noise, clean = torch.randn(3, 1, 4, 2).unbind()
    stream = Stream.noised(latents, noise, 0.75)
    torch.testing.assert_close(stream.latents, 0.25 * latents + 0.75 * noise)
    stream.keep(slice(0, 2), clean[:, :2], 0.5)
    torch.testing.assert_close(stream.latents[:, :2], 0.625 * clean[:, :2] + 0.375 * noise[:, :2])


def test_appended_tokens_are_kept_like_others_and_dropped_together() -> None:
    noise = torch.randn(1, 3, 2)
    stream = Stream.of_noise(noise.clone())
    first, second = torch.randn(1, 1, 2), torch.randn(1, 2, 2)
    more = torch.randn(1, 2, 2)
    stream.append(first, 0.0, torch.zeros(1, 3, 1, 2), torch.randn(1, 1, 2))
    stream.append(second, 0.5, torch.ones(1, 3, 2, 2), more)
    assert stream.mask.tolist() == [[1.0, 1.0, 1.0, 0.0, 0.5, 0.5]]
    assert torch.equal(stream.latents[:, 3:4], first)
    torch.testing.assert_close(stream.latents[:, 4:], 0.5 * (second + more))
    assert torch.equal(stream.clean[:, 3:], torch.cat([first, second], dim=1))
    assert stream.appended_positions is not None
    assert stream.appended_positions.shape == (1, 3, 3, 2)
    stream.drop_appended()
    stream.drop_appended()
    assert torch.equal(stream.latents, noise)
    assert stream.appended_positions is None


def test_a_seed_gives_one_sequence_of_values() -> None:
    first, again = seeded_noise(4), seeded_noise(4)
    assert torch.equal(first((2, 3)), again((2, 3)))
    assert not torch.equal(first((2, 3)), seeded_noise(4)((2, 3)))
    assert not torch.equal(seeded_noise(4)((2, 3)), seeded_noise(5)((2, 3)))
