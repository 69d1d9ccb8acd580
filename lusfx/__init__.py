"""lusfx: encode a lung-ultrasound exam once, and answer every question from the cached features."""

__version__ = "0.1.0"
