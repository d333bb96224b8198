"""What operators see. `facts`: what happened; `log`: in words; `exposition`: in numbers."""
