import os

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette_admin.auth import AdminUser, AuthProvider
from starlette_admin.contrib.sqla import Admin, ModelView
from starlette_admin.exceptions import LoginFailed

from sessile.starlette import SessionMiddleware


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Login(AuthProvider):
    async def login(self, username: str, password: str, remember_me: bool, request: Request) -> None:
        if password != os.environ["ADMIN_PASSWORD"]:
            raise LoginFailed("The name or the password is wrong.")
        request.session["username"] = username

    async def logout(self, request: Request) -> None:
        request.session.clear()

    async def authenticate(self, request: Request) -> AdminUser | None:
        username = request.session.get("username")
        return AdminUser(username) if username else None


engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)

admin = Admin(
    engine,
    secret_key=os.environ["SECRET_KEY"],
    auth_provider=Login(),
    middlewares=[Middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])],
)
admin.add_view(ModelView(Product))

app = Starlette()
admin.mount_to(app)
