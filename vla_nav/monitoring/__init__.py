"""What people see of a running robot: drawn into pictures, and as entities of Rerun."""
