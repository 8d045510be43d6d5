"""The Space: see, judge and correct the negatives of a mined set."""

import os
from pathlib import Path

from hf_hardneg.space import SpaceSettings, launch

if __name__ == "__main__":
    # Everybody may come here: public sets alone are opened, and labels need a Hub account.
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    launch(SpaceSettings(local=False, labels=Path("labels")), host="0.0.0.0", port=port)
