"""What several test files share: jobs' own thread settings, two small datasets, and training on them."""

import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from deepgen_bench.runtime.device import set_threads

set_threads()  # before anything imports numpy

import pytest  # noqa: E402
from project import Project, project  # noqa: E402

from deepgen_bench.cli import main  # noqa: E402
from deepgen_bench.models.base import Streams, TrainingData  # noqa: E402
from deepgen_bench.models.replicate import make_model  # noqa: E402
from deepgen_bench.plugins import DATASETS, MODELS  # noqa: E402

SMALL_SETTINGS = {
    "gaussian_ring": {"n_train": 300, "n_validation": 120, "n_test": 60},
    "sine_mixture": {"n_train": 300, "n_validation": 120, "n_test": 60},
}


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=8, help="how often real jobs are killed, in all")


@pytest.fixture
def kills(request):
    return request.config.getoption("--kills")


@pytest.fixture(scope="session")
def small_splits():
    """`small_splits(name)`: the splits of a small dataset, made once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = DATASETS[name](DATASETS[name].Settings(**SMALL_SETTINGS.get(name, {}))).splits(0)
        return made[name]

    return get


@pytest.fixture(scope="session")
def small_settings():
    """`small_settings(model, **wanted)`: settings of a registered model, small where its class has such fields."""

    def get(model, **wanted):
        cls = MODELS[model].settings
        small = {"hidden": (16, 8), "channels": 4, "batch_size": 16, "critic_steps": 2, "ridge": 1e-3}
        small |= {"steps": 6, "ddim_steps": 3}
        return cls(**{key: value for key, value in small.items() if key in cls.model_fields} | wanted)

    return get


@pytest.fixture(scope="session")
def fit():
    """`fit(model, splits, seeds, steps, base_seed=0)`: what training a `GenerativeModel` leaves of each seed."""

    def train(model, splits, seeds, steps, base_seed=0):
        budget = steps * getattr(model.settings, "batch_size", 1)
        data = TrainingData(splits.train, splits.validation)
        return model.fit(data, seeds, Streams(base_seed, "data", "model"), budget, lambda done, total, note: None)

    return train


@pytest.fixture(scope="session")
def train_small(small_settings, small_splits, fit):
    """`train_small(model, dataset, seeds, steps, **settings)`: fits of a registered model on a small dataset."""

    def train(model, dataset, seeds, steps, **settings):
        splits = small_splits(dataset)
        return fit(make_model(model, small_settings(model, **settings), splits.spec, "cpu"), splits, seeds, steps)

    return train


@pytest.fixture
def command(capsys, monkeypatch):
    """`command(*arguments)`: exit status, stdout and stderr of the command line in this process."""
    monkeypatch.setattr("deepgen_bench.cli.set_threads", lambda: None)  # it would change this process for good

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["deepgen-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        return (int(exit.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def frame(tmp_path):
    """Rows as they are after a round trip through a file."""
    from deepgen_bench.storage.results import read_rows, write_rows

    numbers = count()

    def build(rows):
        path = tmp_path / f"rows_{next(numbers)}.csv"
        write_rows(path, rows)
        return read_rows(path)

    return build


class Web:
    """A server on this machine: `files` by path, `faults` to come before them by path, `asked` by path."""

    def __init__(self):
        web = self
        self.files, self.faults, self.asked = {}, {}, []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked.append(self.path)
                fault = web.faults.get(self.path, [])
                kind = fault.pop(0) if fault else 200 if self.path in web.files else 404
                content = web.files.get(self.path, b"")
                self.send_response(200 if kind == "cut" else kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if kind == "cut" else content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def web(monkeypatch):
    """A local server, and no waiting between attempts: `web.waits` are the seconds that would have been waited."""
    made = Web()
    made.waits = []
    monkeypatch.setattr("pooch.core.time.sleep", made.waits.append)
    threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The quick experiment, run once. Only read it."""
    quick = project(tmp_path_factory.mktemp("workflow") / "finished")
    quick.run()
    return quick


@pytest.fixture
def copy(finished, tmp_path):
    """The finished run, to be changed. Times of files are kept."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")


@pytest.fixture
def empty(tmp_path):
    return project(tmp_path / "empty")
