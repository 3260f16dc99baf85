"""Formulas as MathML, which browsers draw by themselves: no script, no typeface and no other host.

docutils translates LaTeX; what it does not know is a warning, and so an error of `make docs`.
"""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

_logger = logging.getLogger(__name__)


def _written(self: HTML5Translator, node: nodes.math | nodes.math_block, *, block: bool) -> None:
    formula = node.astext()
    try:
        markup = tex2mathml(formula, as_block=block)
    except MathError as error:
        _logger.warning("formula %r: %s", formula, error, location=node)
        markup = f"<code>{self.encode(formula)}</code>"
    self.body.append(f'<div class="formula" tabindex="0">{markup}</div>' if block else markup)
    raise nodes.SkipNode


def inline(self: HTML5Translator, node: nodes.math) -> None:
    """A formula in a line."""
    _written(self, node, block=False)


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    """A formula by itself."""
    _written(self, node, block=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Take the place of the renderers that need a script."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
