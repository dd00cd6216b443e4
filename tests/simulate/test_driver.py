"""The driver: cutting, recording, neighbours and order leave every bit unchanged."""

import dataclasses
import itertools
import subprocess
import sys
import threading
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from dlnlab.dynamics import (
    GradientDescent,
    GradientFlow,
    Langevin,
    Optax,
    StochasticGradientDescent,
)
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian, scaled_identity
from dlnlab.networks import Modes, square
from dlnlab.observables import loss, mode_values, sharpness, singular_values
from dlnlab.problem import Problem
from dlnlab.results import STATUS_MEANINGS
from dlnlab.run import Run
from dlnlab.schedule import last, linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.simulate import Interrupted, grids, limits, record, simulate, tiles, workers
from dlnlab.statistics import FirstRise, FirstTime, Lyapunov, Maximum, Outcome, Period
from dlnlab.tasks import Whitened
from dlnlab.theory import noise

STRENGTHS = (1.0, 0.6, 0.3)
TARGET = np.diag(STRENGTHS)


def build(
    learning_rate: Annotated[float, Coordinate(above=0)] = 0.1, std: float = 0.5, seed: int = 0
) -> Run:
    """Random matrices in two pathways: nothing aligned, every lane another start."""
    problem = Problem(square(3, (2, 3)), Whitened(jnp.diag(jnp.array(STRENGTHS))))
    params = gaussian(problem.network, jax.random.key(seed), std=std)
    return Run(problem, GradientDescent(learning_rate), params)


EXPERIMENT = Experiment(
    build,
    title="random pathways",
    steps=60,
    schedule=linear(5),
    observe=(loss, singular_values),
    statistics=(FirstRise(),),
)


def same(a: xr.Dataset, b: xr.Dataset) -> None:
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=str(name))


def test_a_lane_alone_and_as_number_777_of_a_permuted_thousand_in_another_process():
    seeds = np.random.default_rng(0).permutation(1000)
    whole = EXPERIMENT.measure(seed=seeds.tolist())
    lane = whole.isel(seed=777)
    script = (
        "import sys; sys.path.insert(0, {!r}); from test_driver import EXPERIMENT; "
        "m = EXPERIMENT.measure(seed={}); import numpy as np; "
        "sys.stdout.buffer.write(np.concatenate([m.loss.values, m.singular_values.values.ravel()])"
        ".tobytes())"
    ).format(str(__import__("pathlib").Path(__file__).parent), int(seeds[777]))
    alone = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    expected = np.concatenate([lane.loss.values, lane.singular_values.values.ravel()]).tobytes()
    assert alone == expected
    same(EXPERIMENT.measure(seed=int(seeds[777])), lane.drop_vars("seed"))


def noisy(noise: Literal["batches", "langevin"] = "batches", seed: int = 0) -> Run:
    """The same start, moved by online batches of noisy labels or by their diffusion."""
    run = build(0.02, 0.5, seed)
    problem = Problem(run.problem.network, Whitened(run.problem.task.target, label_noise=0.3))
    made = StochasticGradientDescent if noise == "batches" else Langevin
    return Run(problem, made(0.02, batch_size=2), run.params, jax.random.key(seed + 1000))


NOISY = dataclasses.replace(EXPERIMENT, build=noisy)


@pytest.mark.parametrize(
    ("experiment", "coords"),
    [(EXPERIMENT, {}), (NOISY, {"noise": "batches"}), (NOISY, {"noise": "langevin"})],
    ids=["descent", "batches", "langevin"],
)
def test_cutting_leaves_every_bit(experiment, coords, monkeypatch):
    whole = experiment.measure(seed=[0, 1, 2], **coords)
    monkeypatch.setattr(tiles, "SEGMENT_SECONDS", 0.0)  # as many segments as can be
    monkeypatch.setattr(tiles, "_FIRST_BUDGET", 1)
    same(experiment.measure(seed=[0, 1, 2], **coords), whole)


@pytest.mark.parametrize("noise", ["batches", "langevin"])
def test_noise_is_of_the_seed_alone(noise):
    """The same seed among others in another order, in another tile, in other threads."""
    seeds = np.random.default_rng(0).permutation(70)
    among = NOISY.measure(seed=seeds.tolist(), noise=noise, threads=2)
    for index in (0, 33, 69):
        alone = NOISY.measure(seed=int(seeds[index]), noise=noise, threads=1)
        same(alone, among.isel(seed=index).drop_vars("seed"))
    ends = among.loss.isel(step=-1).values
    assert len(np.unique(ends)) == len(ends)


def test_recording_leaves_every_bit():
    once = EXPERIMENT.measure(seed=3)
    often = dataclasses.replace(EXPERIMENT, schedule=linear(5) | logarithmic(7) | last(9))
    more = dataclasses.replace(often, observe=(loss, singular_values, sharpness, mode_values))
    same(once, often.measure(seed=3).sel(step=once.step)[list(once.data_vars)])
    same(once, more.measure(seed=3).sel(step=once.step)[list(once.data_vars)])


def test_many_fast_segments():
    """One segment for each chunk of moments: its budget of steps grows only so far."""
    often = dataclasses.replace(EXPERIMENT, schedule=last(8000), observe=(), statistics=())
    assert often.measure(steps=8000).sizes["step"] == 8001


def test_threads_leave_every_bit():
    one = EXPERIMENT.measure(seed=list(range(100)), threads=1)
    same(EXPERIMENT.measure(seed=list(range(100)), threads=3), one)


def test_against_a_plain_loop_in_numpy():
    """The slow, obvious reference: W ← W − η ∂ℓ/∂W by hand, in a Python loop."""
    with jax.enable_x64(True):
        run = build(0.1, 0.5, 7)
    params = [[np.array(w) for w in pathway] for pathway in run.params]

    def whole(pathway):
        return np.linalg.multi_dot(pathway[::-1]) if len(pathway) > 1 else pathway[0]

    losses = []
    for _ in range(61):
        residual = sum(whole(p) for p in params) - TARGET
        losses.append((residual**2).sum() / 2)
        moved = []
        for p in params:
            row = []
            for k, w in enumerate(p):
                after = np.eye(3)
                for later in p[k + 1 :]:
                    after = later @ after
                before = np.eye(3)
                for earlier in p[:k]:
                    before = earlier @ before
                row.append(w - 0.1 * after.T @ residual @ before.T)
            moved.append(row)
        params = moved
    measured = simulate(run, steps=60, schedule=last(60), observe=(loss,))
    np.testing.assert_allclose(measured.loss.values, losses, rtol=1e-12)


def test_pure_record_and_simulate_agree():
    with jax.enable_x64(True):
        run = build(0.1, 0.5, 5)
        moments = np.array([0, 3, 20, 60])
        statistics = (FirstRise(), Lyapunov(), Outcome(), Period(), Maximum(loss))
        pure = record(run, moments, (loss, mode_values), statistics)
        traced = jax.jit(lambda r: record(r, moments, (loss, mode_values), statistics))(run)
    labelled = simulate(
        run, steps=60, schedule=last(60), observe=(loss, mode_values), statistics=statistics
    )
    for name in ("loss", "mode_values", "maximum_loss"):
        np.testing.assert_allclose(pure[name], labelled[name].sel(step=moments), rtol=1e-12)
        np.testing.assert_allclose(traced[name], pure[name], rtol=1e-12)
    assert set(pure) == set(labelled.data_vars)


def test_float32_stays_float32():
    run = build(0.1, 0.5, 0)
    assert run.params[0][0].dtype == jnp.float32
    statistics = (
        FirstRise(),
        Lyapunov(),
        Outcome(),
        Period(),
        Maximum(loss),
        FirstTime(loss, below=0.1),
    )
    measured = simulate(
        run, steps=10, observe=(loss, mode_values, sharpness), statistics=statistics
    )
    for name in ("loss", "mode_values", "sharpness", "lyapunov", "maximum_loss", "first_rise"):
        assert measured[name].dtype == np.float32, name
    flow = Run(run.problem, GradientFlow(rtol=1e-4, atol=1e-6), run.params)
    assert simulate(flow, time=1.0, observe=(loss,)).loss.dtype == np.float32


def test_a_diverged_lane_is_data_and_leaves_its_neighbours_alone():
    rates = [0.1, 5.0, 0.2]
    measured = EXPERIMENT.measure(learning_rate=rates)
    assert [STATUS_MEANINGS[s] for s in measured.status.values] == [
        "ran_to_end",
        "diverged",
        "ran_to_end",
    ]
    assert np.isnan(measured.loss.values[1, -1]) and np.isfinite(measured.loss.values[1, 0])
    same(
        measured.isel(learning_rate=0).drop_vars("learning_rate"),
        EXPERIMENT.measure(learning_rate=0.1),
    )


def test_time_stops_each_learning_rate_at_its_own_step():
    rates = [0.05, 0.1, 0.2]
    measured = EXPERIMENT.measure(learning_rate=rates, time=4.0)
    assert measured.step.values[-1] == 80
    for index, rate in enumerate(rates):
        alone = EXPERIMENT.measure(learning_rate=rate, steps=round(4.0 / rate))
        np.testing.assert_array_equal(measured.loss.values[index, -1], alone.loss.values[-1])
    np.testing.assert_allclose(measured.time.values[0], 0.05 * measured.step.values)


def test_new_values_of_traced_coordinates_compile_nothing():
    compiled = []

    def listen(name: str, seconds: float, **_: Any) -> None:
        if name.endswith("backend_compile_duration"):
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    jax.jit(lambda x: x + 12345)(1.0)
    assert compiled, "nothing was listened to"
    first = {"learning_rate": (0.05, 0.06), "std": 0.4, "seed": 1, "steps": 41}
    EXPERIMENT.measure(**first)
    compiled.clear()
    for change in (
        {"learning_rate": (0.01, 0.02)},
        {"std": 0.3},
        {"seed": 9},
        {"steps": 77},
        {"learning_rate": 0.07, "std": (0.1, 0.2), "steps": 500},
    ):
        EXPERIMENT.measure(**{**first, **change})
        assert not compiled, f"a new value compiled anew: {change}"
    jax.monitoring.unregister_event_duration_listener(listen)


def test_memory_does_not_grow_with_steps():
    """The compiled segment is the same program, of the same size, for any number of steps."""
    with jax.enable_x64(True):
        points = EXPERIMENT.grid(seed=[0, 1])
        lanes = [
            (grids._source(build, points.parameters, g), grids._columns(points, g), g.indices)
            for g in points.groups()
        ]
        few, many = (
            grids._works(points, lanes, steps, None, linear(5), (loss,), ())[0]
            for steps in (100, 10**9)
        )
    assert few.shape == many.shape
    assert {k: v.nbytes for k, v in few.arrays.items()} == {
        k: v.nbytes for k, v in many.arrays.items()
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 10**15}, "days"),
        ({"steps": 10**12}, "take some"),
        ({"steps": 10, "time": 1.0}, "both"),
        ({"time": -1.0}, "above 0"),
        ({"time": 1e300}, "steps"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"learning_rat": 0.1}, "learning_rate"),
    ],
)
def test_what_cannot_be_done_is_said_before_computing(arguments, words):
    with pytest.raises(InputError, match=words):
        EXPERIMENT.measure(**arguments)


def test_results_larger_than_memory_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 1_000_000)
    with pytest.raises(InputError, match="10,000 lanes.*of memory is free; record fewer"):
        EXPERIMENT.measure(seed=list(range(10_000)))


def test_flows_and_maps_do_not_mix_and_flows_take_time():
    from typing import Literal

    def mixed(dynamics: Literal["descent", "flow"] = "flow") -> Run:
        made = build()
        kind = GradientFlow() if dynamics == "flow" else made.dynamics
        return Run(made.problem, kind, made.params)

    experiment = Experiment(mixed, title="mixed", time=1.0, observe=(loss,))
    with pytest.raises(InputError, match="no\\s+axis"):
        experiment.measure(dynamics=["descent", "flow"])
    with pytest.raises(InputError, match="flow has no steps"):
        experiment.measure(steps=3)


def test_an_interrupt_keeps_what_was_finished(monkeypatch):
    monkeypatch.setattr(workers, "_POLL_SECONDS", 0.01)
    ticks = itertools.count()

    def monitor(fraction, seconds_left):
        if next(ticks) > 2 and fraction > 0:
            raise KeyboardInterrupt

    long = Experiment(build, title="long", steps=20_000_000, schedule=linear(2001), observe=(loss,))
    with pytest.raises(Interrupted) as caught:
        long.measure(monitor=monitor)
    kept = caught.value.measured
    assert kept.attrs["interrupted"] == 1
    assert STATUS_MEANINGS[int(kept.status)] == "interrupted"
    assert 0 < kept.sizes["step"] < 2001
    assert np.isfinite(kept.loss.values).all()
    assert threading.active_count() < 20


@pytest.mark.parametrize(("steps", "first"), [(0, 0.0), (5, 0.5)])
def test_what_is_examined_tells_how_far_it_is(monkeypatch, steps, first):
    monkeypatch.setattr(workers, "_POLL_SECONDS", 0.002)
    rates, seen = [0.1, 0.2, 0.3, 0.4], []

    def examine(run: Run) -> xr.Dataset:
        threading.Event().wait(0.1)
        if float(run.dynamics.learning_rate) == 9.0:
            raise InputError("nine is too large; lower it.")
        return xr.Dataset({"twice": ((), 2 * float(run.dynamics.learning_rate), {"symbol": "2η"})})

    looked = dataclasses.replace(EXPERIMENT, steps=steps, examine=examine)
    measured = [
        looked.measure(
            threads=threads, monitor=lambda *share: seen.append(share), learning_rate=rates
        )
        for threads in (1, 2)
    ]
    for found in measured:
        np.testing.assert_array_equal(found.twice, 2 * np.array(rates))
        assert found.twice.attrs == {"symbol": "2η"}
    shares = [share for share, _ in seen]
    assert max(shares) < 1
    assert {first + (1 - first) * done for done in (0.25, 0.5, 0.75)} <= set(shares)
    assert all(left is None or left < 5 for _, left in seen)
    with pytest.raises(InputError, match="nine is too large"):
        looked.measure(learning_rate=[0.1, 9.0])


def test_optax_descent_is_descent_and_momentum_is_momentum():
    with jax.enable_x64(True):
        plain = build(0.1, 0.5, 1)
        sgd = Run(plain.problem, Optax(optax.sgd, 0.1), plain.params)
        a = simulate(plain, steps=30, observe=(loss,)).loss
        b = simulate(sgd, steps=30, observe=(loss,)).loss
        np.testing.assert_allclose(a, b, rtol=1e-13)
        heavy = Run(plain.problem, Optax(optax.sgd, 0.1, (("momentum", 0.9),)), plain.params)
        params, velocity = plain.params, jax.tree.map(jnp.zeros_like, plain.params)
        for _ in range(30):
            gradient = plain.problem.gradient(params)
            velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, gradient)
            params = jax.tree.map(lambda w, v: w - 0.1 * v, params, velocity)
        expected = float(plain.problem.loss(params))
    found = float(simulate(heavy, steps=30, observe=(loss,)).loss[-1])
    assert found == pytest.approx(expected, rel=1e-12)


def test_modes_of_deep_networks_differentiate_as_shallow_ones_do():
    """The scan over layers and the unrolled product are one derivative, first and second."""
    import dlnlab.networks.base as base

    with jax.enable_x64(True):
        for network in (Modes((9, 8), 3), square(3, (9, 8))):
            target = jnp.array([1.0, 0.5, 0.2])
            problem = Problem(
                network, Whitened(target if isinstance(network, Modes) else jnp.diag(target))
            )
            params = jax.tree.map(
                lambda w: w + 0.3 * jax.random.normal(jax.random.key(0), w.shape),
                scaled_identity(problem, (0.3, 0.2)),
            )
            tangent = jax.tree.map(jnp.cos, params)
            deep = problem.gradient(params), problem.hessian_vector(params, tangent)
            before, base.UNROLLED_DEPTH = base.UNROLLED_DEPTH, 1000
            try:
                plain = problem.gradient(params), problem.hessian_vector(params, tangent)
            finally:
                base.UNROLLED_DEPTH = before
            for a, b in zip(jax.tree.leaves(deep), jax.tree.leaves(plain), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_a_prediction_is_no_observable_and_the_one_of_its_name_is_told():
    for wrong, told in (
        (noise.mode_diffusion, "holds mode_diffusion, a prediction of theory, and .* as dlnlab."
         "observables.mode_diffusion"),
        (noise.collapse_edge, "a prediction of theory, and .* those of dlnlab.observables"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            limits.recorded((loss, wrong), ())
        assert str(error.value).endswith(".")


def test_what_is_recorded_may_be_listed_and_nothing_else():
    run = build(seed=1)
    listed = simulate(run, steps=3, observe=[loss], statistics=[FirstRise()])
    same(listed, simulate(run, steps=3, observe=(loss,), statistics=(FirstRise(),)))
    with pytest.raises(InputError, match=r"observe holds loss, and a tuple of observables is"):
        simulate(run, steps=3, observe=loss)
    with pytest.raises(InputError, match="statistics holds 'period'"):
        simulate(run, steps=3, statistics=("period",))
