"""What a person sees: curves, figures, the gallery and the reports."""
