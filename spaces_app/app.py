"""The Space: see, judge and correct the negatives of a mined set."""

from pathlib import Path

from hf_hardneg.space import SpaceSettings, launch

if __name__ == "__main__":
    # Everybody may come here: public sets alone are opened, and labels need a Hub account.
    launch(SpaceSettings(local=False, labels=Path("labels")), host="0.0.0.0", port=7860)
