"""Figures of pages that zoom and say what is under the pointer: drawn by Plotly in the browser."""
