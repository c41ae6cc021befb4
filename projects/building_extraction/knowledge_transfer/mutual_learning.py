"""Deep mutual learning: two peers learn from labels and from each other's predictions."""

from copy import deepcopy
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from .losses import bernoulli_divergence
from .networks import logits_and_losses, require_one_logit, stack_labels

NETWORK_KEYS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')
PEER = 'peer.'


@MODELS.register_module()
class MutualLearningSegmentor(EncoderDecoder):
    """A network and a peer that learn together (Zhang et al., arXiv 1706.00384), pixel by pixel.

    Each has the loss L_i = L_seg + weight · KL(p_j || p_i), the divergence as the mean over the pixels that are not
    ignored, without a gradient to p_j. L_seg are all losses of its heads. This model is the first network; the peer is
    its part `peer`.

    Note:
        - Zhang et al. update the two in turns, the second with the new prediction of the first. Here one step updates
          both, each by the prediction of the other before the step: one pass per network and step instead of two.
        - The paper does not state its weight of the divergence; Zhang et al. have 1.
        - A clipped gradient norm is that of both networks together.
        - Peers that begin with the same pre-trained backbone differ in their heads alone.

    Args:
        peer: Its `backbone`, `neck`, `decode_head` and `auxiliary_head`; None repeats those of the first network, with
            other initial weights.
        weight: Of the divergence.
        predict_with: 'first' or 'peer': the network that is scored.
        **kwargs: The first network, as for `EncoderDecoder`.

    Raises:
        ValueError: An option is none of the accepted ones, or a network has several channels of logits.
    """

    def __init__(
        self, *, peer: dict[str, Any] | None = None, weight: float = 1.0, predict_with: str = 'first', **kwargs: Any
    ) -> None:
        peer = deepcopy({key: kwargs[key] for key in NETWORK_KEYS if key in kwargs} if peer is None else peer)
        super().__init__(**kwargs)
        if not weight >= 0:
            raise ValueError(f'weight must be 0 or more, got {weight}.')
        if predict_with not in ('first', 'peer'):
            raise ValueError(f"predict_with must be 'first' or 'peer', got {predict_with!r}.")
        if unknown := set(peer) - set(NETWORK_KEYS):
            raise ValueError(f'peer has {sorted(unknown)}; expected some of {", ".join(NETWORK_KEYS)}.')
        self.weight = weight
        self.predict_with = predict_with
        self.peer = EncoderDecoder(**peer, train_cfg=self.train_cfg, test_cfg=self.test_cfg)
        require_one_logit(self, 'network')
        require_one_logit(self.peer, 'peer')

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Compute the losses of both networks; those of the peer begin with `peer.`."""
        logits, losses = logits_and_losses(self, inputs, data_samples)
        peer_logits, peer_losses = logits_and_losses(self.peer, inputs, data_samples)
        labels, ignored = stack_labels(self, data_samples), self.decode_head.ignore_index
        divergence = bernoulli_divergence(logits, peer_logits, labels, ignore_index=ignored)
        peer_divergence = bernoulli_divergence(peer_logits, logits, labels, ignore_index=ignored)
        return {
            **losses,
            'loss_mutual': self.weight * divergence,
            **{f'{PEER}{name}': value for name, value in peer_losses.items()},
            f'{PEER}loss_mutual': self.weight * peer_divergence,
        }

    def predict(self, inputs: Tensor, data_samples: list | None = None) -> list:
        """Predict with the network that `predict_with` names."""
        if self.predict_with == 'peer':
            return self.peer.predict(inputs, data_samples)
        return super().predict(inputs, data_samples)


@HOOKS.register_module()
class PeerApart(Hook):
    """Writes the peer beside the model: every checkpoint of mutual learning is one of an ordinary `EncoderDecoder`.

    The weights of the first network are in `state_dict`, those of the peer in `peer`, from where they return when the
    training resumes or is scored. The config of the network that learns alone takes such a checkpoint as it is.
    """

    def before_run(self, runner: Runner) -> None:
        runner.register_hook(_TakePeerOut(), priority='LOWEST')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        peer = checkpoint.get('peer', {})
        checkpoint.get('state_dict', checkpoint).update({f'{PEER}{key}': value for key, value in peer.items()})


class _TakePeerOut(Hook):
    """The half of `PeerApart` that comes last: `EMAHook` exchanges all weights of a checkpoint, the peer's included."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        weights = checkpoint['state_dict']
        peer = {key: weights.pop(key) for key in list(weights) if key.startswith(PEER)}
        checkpoint['peer'] = {key.removeprefix(PEER): value for key, value in peer.items()}
