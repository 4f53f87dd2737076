"""vla_nav: a mobile robot follows a sentence with a camera."""

__version__ = '0.1.0'
