"""The policies that can be trained; a robot runs their exports through vla_nav.runtimes."""
