"""The radio channel: where sites stand, path loss and shadowing, antennas, fast fading."""
