"""Figures of the reports. Each function returns a matplotlib ``Figure`` and changes nothing global.

Colours are those of Okabe and Ito, which stay apart for every common kind of colour blindness.
"""
