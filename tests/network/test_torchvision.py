"""Each case runs in its own interpreter: an import that failed half way leaves traces in the process."""

from textwrap import dedent

from tests import processes
from triscope.network.loading._torchvision import import_torchvision


def run(program: str) -> str:
    code, out, err = processes.ran("import warnings; warnings.simplefilter('error')\n" + dedent(program), fresh=True)
    assert code == 0, err
    return out.strip()


def test_networks_can_be_built():
    torchvision = import_torchvision()
    assert "alexnet" in torchvision.models.list_models()
    assert import_torchvision() is torchvision


WITHOUT_LIBRARY = """
    import torch
    def refuse(path):
        raise OSError("undefined symbol")
    torch.ops.load_library = refuse
"""


def test_the_import_survives_a_library_that_does_not_load():
    printed = run(
        WITHOUT_LIBRARY
        + """
    from triscope.network.loading._torchvision import import_torchvision
    print(import_torchvision().models.squeezenet1_1().eval()(torch.zeros(1, 3, 64, 64)).shape)
    try:
        torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except NotImplementedError:
        print("nms refuses")
    """
    )
    assert printed.splitlines() == ["torch.Size([1, 1000])", "nms refuses"]


def test_nothing_is_declared_where_the_import_works():
    assert (
        run("""
    import sys, types, torch
    sys.modules["torchvision"] = types.ModuleType("torchvision")
    torch.library.define = None
    from triscope.network.loading._torchvision import import_torchvision
    print(import_torchvision() is sys.modules["torchvision"])
    """)
        == "True"
    )


def test_another_failure_is_passed_on(tmp_path):
    (tmp_path / "torchvision.py").write_text('raise RuntimeError("out of coffee")')
    assert (
        run(f"""
    import sys
    sys.path.insert(0, {str(tmp_path)!r})
    from triscope.network.loading._torchvision import import_torchvision
    try:
        import_torchvision()
    except RuntimeError as error:
        print(error)
    """)
        == "out of coffee"
    )
