"""What all tests share: two CPU devices, one thread a worker, and double precision on demand."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path

# Before anything imports JAX or NumPy. Two devices are enough to test sharding; more threads than
# that would make the workers of pytest-xdist wait for one another.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
# Compiling is nearly all the time that tests take, and most of that goes without LLVM's optimiser
# and XLA's newer loops, which only pay with it. Flags given from outside win: `.ci/run` has the
# core tests compiled as users have it. An XLA that does not know a flag ends the process.
QUICK = {"xla_backend_optimization_level": 0}
if version("jaxlib").startswith("0.10."):
    QUICK["xla_cpu_use_fusion_emitters"] = False
    # Programs compiled in parts, side by side, cost more where every core has a worker.
    QUICK["xla_cpu_parallel_codegen_split_count"] = 1
FLAGS = {"xla_cpu_multi_thread_eigen": "false"} | QUICK
os.environ.setdefault("XLA_FLAGS", " ".join(f"--{name}={value}" for name, value in FLAGS.items()))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "agg")
# A shell starts what runs in its background deaf to Ctrl-C, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# With a cache of compiled programs, which only tests use, JAX 0.10.0 prints lines of C++ about the
# features of the processor to the standard error; children get this too.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Compiling takes seconds at the first example and nothing later, so deadlines would only flake. CI
# draws the same examples every time; elsewhere new ones are tried.
settings.register_profile(
    "isocline",
    deadline=None,
    max_examples=20,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("isocline")

MOST_MEMORY = 3 << 30
needs_data = pytest.mark.skipif(
    not os.environ.get("ISOCLINE_DATA"),
    reason="ISOCLINE_DATA does not name the folder of real data",
)
HEART = {"adjoints", "solve", "vmap"}


@pytest.fixture
def x64():
    """Double precision for one test; outside it JAX stays as users have it."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory) -> Path:
    """A cache of compiled programs that all workers and their child processes share."""
    import jax

    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "compiled"
    shared.mkdir(exist_ok=True)
    settings = {
        "jax_compilation_cache_dir": str(shared),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # for children
    return shared


@pytest.fixture(autouse=True, scope="module")
def _bounded_memory():
    """Compiled programs are never freed by themselves: let them go when a worker holds too much."""
    yield
    if "jax" in sys.modules and _resident() > MOST_MEMORY:
        sys.modules["jax"].clear_caches()


def _resident() -> int:
    """Bytes of memory that this process holds; 0 where /proc does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def pytest_collection_modifyitems(items):
    """The heart of the engine is core: it is what a new JAX would break first."""
    for item in items:
        if item.path.parent.name == "ode" and item.path.stem.removeprefix("test_") in HEART:
            item.add_marker("core")
