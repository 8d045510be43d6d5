"""Looking at a mined set: its rows, why each negative was kept, and what people say of them."""

from hf_hardneg.inspection.opened import InspectedSet, open_inspected
from hf_hardneg.inspection.views import DocumentView, RowView

__all__ = ["DocumentView", "InspectedSet", "RowView", "open_inspected"]
