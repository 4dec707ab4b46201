"""A SLURM cluster for the tests of this folder, and drivers that submit to it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLUSTER = HERE / "cluster"
# the profile polls more politely than a test can wait
IMPATIENT = ("--slurm-init-seconds-before-status-checks", "8", "--seconds-between-status-checks", "2")
# seconds that anything is waited for, on machines that are busy with several experiments and slow
PATIENCE = 600


def run(*command: str | Path) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_for(what: str, condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, f"{what}: not within {PATIENCE} s"
        time.sleep(0.5)


def heed_ctrl_c() -> None:
    """A shell's background jobs ignore it, and so do their children, unless they are told otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Driver:
    """A `snakemake` that submits jobs. Every wait for it has a limit, as it may wait for a lost job forever."""

    def __init__(self, folder: Path, environment: dict[str, str], name: str, *arguments: str):
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=heed_ctrl_c,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def finish(self) -> int:
        """The exit status."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.stop()
            pytest.fail(f"not finished within {PATIENCE} s:\n{self.said[-5000:]}")

    def stop(self) -> None:
        """Ctrl-C first, for then it cancels its jobs."""
        for number, seconds in ((signal.SIGINT, 20), (signal.SIGKILL, 5)):
            if self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue


class Project:
    """A working directory on the cluster's shared disk (its one node's), with the workflow and the package."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        shutil.copy2(ROOT / "Snakefile", folder)
        for name in ("workflow", "profiles", "configs", "deepgen_bench"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(HERE / "held", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        # the copied package and the executor plugin, wherever that lies; not the user's profile and caches
        self.environment = os.environ | {
            "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "XDG_CONFIG_HOME": str(folder / ".config"),
        }
        self.environment.pop("SNAKEMAKE_PROFILE", None)
        # the scheduler sets it in its jobs; what runs beside them sees no GPU
        self.environment["CUDA_VISIBLE_DEVICES"] = "-1"
        self.drivers: list[Driver] = []

    def experiment(self, name: str, content: dict[str, object]) -> str:
        """Write an experiment file of that name."""
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(content | {"name": name}, sort_keys=False))
        return f"{name}.yaml"

    def start(self, name: str, *arguments: str) -> Driver:
        self.drivers.append(Driver(self.folder, self.environment, name, *arguments))
        return self.drivers[-1]

    def submit(self, name: str, config: str, *arguments: str) -> Driver:
        """Start a driver that runs this experiment on the cluster."""
        given = ("--workflow-profile", "slurm", *IMPATIENT, "--configfile", config, *arguments)
        return self.start(name, *given)

    def runs(self) -> list[Path]:
        return sorted(self.folder.glob("results/runs/*/*/*/seed_*/run.json"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A cluster of one node with two GPUs that nothing can compute on."""
    check = subprocess.run([CLUSTER, "check"], capture_output=True, text=True, timeout=120)
    if check.returncode:
        pytest.skip(check.stderr.strip())
    run(CLUSTER, "up")
    try:
        yield
    finally:
        run(CLUSTER, "down")


@pytest.fixture(scope="session")
def make_project(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Project]]:
    """`make_project(name)`: a new project; what is still running in one at the end is stopped."""
    projects: list[Project] = []

    def make(name: str) -> Project:
        projects.append(Project(tmp_path_factory.mktemp("slurm") / name))
        return projects[-1]

    yield make
    for project in projects:
        for driver in project.drivers:
            driver.stop()
