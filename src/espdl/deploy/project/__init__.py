"""ESP-IDF projects that run a model, sized from its memory plan."""

from espdl.deploy.project.generate import LOCATIONS, PIPELINES, Project, new_project

__all__ = ["LOCATIONS", "PIPELINES", "Project", "new_project"]
