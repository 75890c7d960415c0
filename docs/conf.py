"""How the documentation is built: `make docs`."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

project = "HaloTheory"
author = "The HaloTheory authors"
copyright = "The HaloTheory authors"
release = "0.1.0"

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nitpicky = True
exclude_patterns = ["_build", "losses"]

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "HaloTheory"
html_show_sphinx = False
html_last_updated_fmt = None
html_copy_source = False


def _inline(translator: nodes.NodeVisitor, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(translator: nodes.NodeVisitor, node: nodes.math_block) -> None:
    translator.body.append(convert(node.astext(), display="block"))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Write formulas as MathML, which browsers draw without a network."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
