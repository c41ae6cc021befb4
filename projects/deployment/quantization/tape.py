"""What a network computed, function by function, and parts of it computed again with other numbers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from .call_sites import Call, CallSites


@dataclass
class Step:
    """A call of a function of PyTorch.

    Attributes:
        reads: Numbers of the tensors among its arguments.
        writes: Of those that it returned.
        run: From other tensors, by those numbers, to what it returns.
        call: If it is a site.
        function: What was called, if it is none.
        sites: Indices of the steps of the sites whose outputs it reads, with nothing but other functions in between.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    run: Callable[[dict[int, Tensor]], Any]
    call: Call | None = None
    function: Callable | None = None
    sites: frozenset[int] = field(default_factory=frozenset)


class Tape(CallSites):
    """Records all steps of the run that it follows, and keeps their tensors.

    Args:
        graph: A network without activations in place.
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__(graph)
        self.steps: list[Step] = []
        self.tensors: dict[int, Tensor] = {}
        self._behind: dict[int, frozenset[int]] = {}  # sites whose outputs a tensor was made of

    def on_call(self, call: Call) -> Tensor:
        output = call()
        numbers = tuple(map(id, call.operands))

        def run(others: dict[int, Tensor]) -> Tensor:
            operands = tuple(others.get(number, one) for number, one in zip(numbers, call.operands, strict=True))
            return call.compute(operands, call.weight)

        self._note(Step(numbers, (id(output),), run, call), (*call.operands, output))
        return output

    def on_other(self, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        output = function(*args, **kwargs)
        read, written = list(_tensors((args, kwargs))), list(_tensors(output))
        if written:

            def run(others: dict[int, Tensor]) -> Any:
                def replace(value: Any) -> Any:
                    return others.get(id(value), value) if isinstance(value, Tensor) else value

                return function(*tree_map(replace, args), **tree_map(replace, kwargs))

            step = Step(tuple(map(id, read)), tuple(map(id, written)), run, function=function)
            self._note(step, (*read, *written))
        return output

    def _note(self, step: Step, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            self.tensors[id(tensor)] = tensor
        step.sites = frozenset().union(*(self._behind.get(number, frozenset()) for number in step.reads))
        behind = step.sites if step.call is None else frozenset({len(self.steps)})
        for number in step.writes:
            self._behind[number] = behind
        self.steps.append(step)

    def between(self, first: int, last: int) -> list[Step]:
        """The steps after `first` up to `last` that lead from one to the other."""
        known = set(self.steps[first].writes)
        forward = []
        for step in self.steps[first + 1 : last + 1]:
            if known & set(step.reads):
                known |= set(step.writes)
                forward.append(step)
        wanted, chosen = set(self.steps[last].writes), []
        for step in reversed(forward):
            if wanted & set(step.writes):
                wanted |= set(step.reads)
                chosen.append(step)
        return chosen[::-1]


def replay(
    steps: Sequence[Step],
    changed: Mapping[int, Tensor],
    on_call: Callable[[Call, tuple[Tensor, ...]], Tensor] | None = None,
) -> Tensor:
    """Compute steps again where some tensors are others.

    Args:
        steps: Of a tape.
        changed: Other tensors, by number.
        on_call: From a site's call and what it reads now to what it gives; None: as it was.

    Returns:
        What the last one gives.
    """
    values, output = dict(changed), None
    for step in steps:
        if step.call is not None and on_call is not None:
            operands = zip(step.reads, step.call.operands, strict=True)
            output = on_call(step.call, tuple(values.get(number, one) for number, one in operands))
        else:
            output = step.run(values)
        values.update(zip(step.writes, _tensors(output), strict=True))
    assert isinstance(output, Tensor)
    return output


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor))
