import torch

from plugins.losses import FederatedLoss
from plugins.losses.federated_loss import draw_classes

COUNTS = torch.tensor([1, 10, 100, 1000, 0, 5])


def _loss(**more):
    loss = FederatedLoss(num_classes=6, **more)
    loss.set_category_counts(COUNTS, COUNTS, 2000)
    loss.start_training(seed=3, resumed=False)
    return loss


def test_classes_that_take_no_part_get_exactly_no_gradient():
    logits = torch.randn(12, 6, requires_grad=True)
    _loss(num_sampled=3)(logits, torch.tensor([0, 6] * 6))['loss_cls'].backward()
    touched = (logits.grad != 0).any(0)
    # One label, background in one place, one class drawn.
    assert touched[0] and touched.sum() == 2


def test_classes_without_images_are_never_drawn():
    is_present = torch.zeros(7, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        drawn = draw_classes(is_present, COUNTS.float(), 6, generator)
        # Fewer than asked for: there are only five.
        assert drawn.sum() == 5 and not drawn[4]


def test_more_labels_than_places_are_all_kept():
    is_present = torch.tensor([1, 1, 1, 0, 0, 1, 1], dtype=torch.bool)
    drawn = draw_classes(is_present, COUNTS.float(), 2, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, is_present[:-1])


def test_without_replacement_probabilities_follow_the_weights():
    is_present = torch.zeros(4, dtype=torch.bool)
    weights = torch.tensor([1.0, 2.0, 5.0])
    generator = torch.Generator().manual_seed(0)
    taken = sum(draw_classes(is_present, weights, 2, generator).double() for _ in range(20000))
    share = weights.double() / weights.sum()
    pair = share[:, None] * share / (1 - share[:, None])
    pair.fill_diagonal_(0)
    expected = pair.sum(0) + pair.sum(1)
    torch.testing.assert_close(taken / 20000, expected, atol=0.02, rtol=0)


def test_draws_depend_on_seed_and_iteration_and_continue_after_a_checkpoint():
    labels, weights = torch.tensor([0]), torch.ones(1)
    targets = torch.zeros(1, 6)

    def sequence(loss, length):
        return [loss.term_weights(targets, labels, weights).tolist() for _ in range(length)]

    first, second = _loss(num_sampled=3), _loss(num_sampled=3)
    whole = sequence(first, 12)
    assert len({tuple(row) for row in whole}) > 1
    sequence(second, 5)
    restored = _loss(num_sampled=3)
    restored.load_state_dict(second.state_dict())
    # The seed of a resumed run without one in its config is another.
    restored.start_training(seed=99, resumed=True)
    assert sequence(restored, 7) == whole[5:]
    other = _loss(num_sampled=3)
    other.start_training(seed=4, resumed=False)
    assert sequence(other, 12) != whole
