"""Who computes: what `workers` and `--ray` may be, and what is said where there is no Ray."""

import sys

import pytest

from tests.processes import TRISCOPE, ran
from tests.which.test_indexing import build
from triscope.errors import StoreError
from triscope.which.indexing.cluster import Cluster, import_ray


def test_workers_are_threads_or_a_cluster():
    assert Cluster.read(None) is None
    assert Cluster.read(3) is None
    assert Cluster.read("ray") == Cluster()
    assert Cluster.read("ray://head:10001") == Cluster("ray://head:10001")
    assert Cluster.read(Cluster(cpus=2)) == Cluster(cpus=2)


def test_other_workers_are_refused(network, photos, tmp_path):
    with pytest.raises(StoreError, match="a number of threads, 'ray' or 'ray://HOST:PORT', not 'dask'"):
        build(network, photos(1), tmp_path / "store", workers="dask")


def test_without_ray_it_is_said_how_to_get_it(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StoreError, match=r"Ray is not installed: pip install 'triscope\[ray\]'"):
        import_ray()
    program = f"import sys; sys.modules['ray'] = None\n{TRISCOPE}"
    code, out, err = ran(program, "index", str(photos(2)), "--ray", "--ray-cpus", "2", "-m", "pocket")
    assert (code, out) == (1, "")
    assert "Ray is not installed" in err
    assert "Traceback" not in err
